"""What the process tests share: places to work in, running `hpo`, killing, counting.

A test file defines functions and hands them to main(); each gets a Place, a fresh directory that is
gone afterwards. Two environment variables, set by CMake, say where things are: HPO_TOOLS (the
directory of hpo and hpo-fsck) and HPO_HELPERS (that of the small C programs). HPO_TEST_SCALE says how
many cases to walk, HPO_TEST_SEED repeats a run with the seed it printed.

Nothing is left behind: every process started here carries the place's mark in its environment, and
what still carries it at the end is reported and killed, whoever its parent may be by then.
"""
import ctypes
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

TOOLS = os.environ["HPO_TOOLS"]
HELPERS = os.environ["HPO_HELPERS"]
HPO = os.path.join(TOOLS, "hpo")
FSCK = os.path.join(TOOLS, "hpo-fsck")
OBJECTIVE = os.path.join(HELPERS, "objective")
SCALE = float(os.environ.get("HPO_TEST_SCALE", "0.1"))
SEED = int(os.environ.get("HPO_TEST_SEED") or random.SystemRandom().randrange(1 << 32))
# How long anything may take before we call it stuck. Never a pass mark: only an end to waiting.
PATIENCE_S = 60

SPACE = ["--param", "x=float(0,1)", "--param", "k=int(0,40)", "--param", "c=choice(a,b,fail,nan)"]
OBJECTIVE_LINE = [OBJECTIVE, "{x}", "{k}", "{c}"]


class Failed(Exception):
    pass


class Skipped(Exception):
    pass


def check(condition, message):
    if not condition:
        raise Failed(message() if callable(message) else message)


def scaled(full, least=1):
    """How many of `full` cases to walk at this scale."""
    return max(least, round(full * SCALE))


def must_fail(what, function, *args):
    """A check that cannot fail is no check: here it gets something wrong and must say so."""
    try:
        function(*args)
    except Failed:
        return
    raise Failed(f"the check itself is broken: it accepts {what}")


class Result:
    def __init__(self, args, status, out, err):
        self.args, self.status, self.out, self.err = args, status, out, err

    def __str__(self):
        return f"{' '.join(self.args)}\n  status {self.status}\n  stdout {self.out[-2000:]!r}\n  stderr {self.err[-2000:]!r}"

    def json(self):
        return json.loads(self.out)

    def jsonl(self):
        return [json.loads(line) for line in self.out.splitlines()]


def command_of(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def descendants(pid):
    """Pids of the children of a process, theirs, and so on; those found dead meanwhile are left out."""
    found = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as file:
                for child in file.read().split():
                    found.append(int(child))
                    found.extend(descendants(int(child)))
    except OSError:
        pass
    return found


def objectives_of(pid):
    """Pids of the evaluations that an `hpo run` has under way (it has a guardian process, too)."""
    return [child for child in descendants(pid) if command_of(child).startswith(OBJECTIVE)]


def kill_all(pids):
    hit = 0
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
            hit += 1
        except ProcessLookupError:
            pass
    return hit


class Place:
    """A fresh directory, and everything that is done in it."""

    def __init__(self, name):
        self.dir = tempfile.mkdtemp(prefix=f"hpo-{name}-")
        self.mark = f"HPO_PLACE={self.dir}"
        self.marks = os.path.join(self.dir, "marks")
        self.store = os.path.join(self.dir, "s.hpo")
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("HPO_")}
        self.env.update(
            HPO_PLACE=self.dir,
            OBJECTIVE_MARKS=self.marks,
            OBJECTIVE_US="0",
            NO_COLOR="1",
            LC_ALL="C",
            PATH=TOOLS + ":" + os.environ["PATH"],
        )

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def remove(self, *paths):
        for path in paths:
            if os.path.isdir(path):
                shutil.rmtree(path)
            elif os.path.exists(path):
                os.unlink(path)

    def script(self, name, text):
        """An executable shell script in the place; its path."""
        path = self.path(name)
        with open(path, "w") as file:
            file.write("#!/bin/sh\n" + text + "\n")
        os.chmod(path, 0o755)
        return path

    def start(self, args, env=None, **options):
        """Start a program in a session of its own."""
        options.setdefault("stdout", subprocess.DEVNULL)
        options.setdefault("stderr", subprocess.DEVNULL)
        options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("preexec_fn", die_with_parent)
        process = subprocess.Popen(
            args, env={**self.env, **(env or {})}, cwd=self.dir, start_new_session=True, **options
        )
        OWN.add(process.pid)
        return process

    def run(self, args, expect=0, env=None, timeout=PATIENCE_S, **options):
        """Run a program to its end; any exit status but `expect` (None: any will do) fails the test."""
        process = self.start(
            args,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            **options,
        )
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            kill_all([process.pid] + descendants(process.pid))
            out, err = process.communicate()
            raise Failed(f"no end after {timeout} s: {Result(args, None, out, err)}") from None
        result = Result(args, process.returncode, out, err)
        check(expect is None or result.status == expect, lambda: f"expected status {expect}: {result}")
        return result

    def hpo(self, *args, **options):
        return self.run([HPO, *args], **options)

    def samplers(self):
        """The samplers that this build has, but for the one whose space must be a grid."""
        line = self.run_line(1, sampler="nosuch", store=self.path("nosuch.hpo"))
        known = self.run(line, expect=2).err.rpartition(":")[2].replace(",", " ").split()
        check("random" in known, f"the list of samplers cannot be read: {known}")
        return [name for name in known if name != "grid"]

    def run_line(
        self, trials, seed=1, study="s", store=None, space=None, objective=None, extra=(), sampler="random"
    ):
        """The command line of a search, the same for the first run and for every resume."""
        return [
            HPO,
            "run",
            "-s",
            store or self.store,
            "--study",
            study,
            "--sampler",
            sampler,
            "--seed",
            str(seed),
            "--trials",
            str(trials),
            *extra,
            *(SPACE if space is None else space),
            "--",
            *(objective or OBJECTIVE_LINE),
        ]

    def trials(self, study="s", store=None, state=None):
        extra = ["--state", state] if state else []
        return self.hpo("trials", "-s", store or self.store, study, "--jsonl", *extra).jsonl()

    def diff(self, other_store, store=None, study="s", other_study=None, **options):
        return self.hpo(
            "diff",
            "-s",
            store or self.store,
            study,
            "--other-store",
            other_store,
            other_study or study,
            **options,
        )

    def fsck(self, store=None, expect=0, flags=("--full",)):
        return self.run([FSCK, *flags, store or self.store], expect=expect)

    def strays(self):
        """Pids of living processes with this place's mark."""
        found = []
        for pid in os.listdir("/proc"):
            if not pid.isdigit() or int(pid) == os.getpid():
                continue
            try:
                with open(f"/proc/{pid}/environ", "rb") as file:
                    if self.mark.encode() in file.read().split(b"\0"):
                        found.append(int(pid))
            except OSError:
                continue
        return found

    def wait_for_strays(self):
        """Wait until orphans of processes that we killed have ended by themselves."""
        until = time.monotonic() + PATIENCE_S
        while self.strays() and time.monotonic() < until:
            reap()
            time.sleep(0.002)

    def close(self):
        left = self.strays()
        told = [f"{pid} ({command_of(pid)})" for pid in left]
        kill_all(left)
        reap()
        shutil.rmtree(self.dir, ignore_errors=True)
        return told


LIBC = ctypes.CDLL(None, use_errno=True)


def become_subreaper():
    """Orphans of what we kill become our children, so that none is left a zombie of nobody."""
    PR_SET_CHILD_SUBREAPER = 36
    LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent():
    """In a child: a test that is itself killed (ctest's time limit) leaves nothing running."""
    PR_SET_PDEATHSIG = 1
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


OWN = set()  # pids that some Popen object waits for


def reap():
    """Reap the orphans that we adopted; processes of ours are left to their Popen objects."""
    for child in descendants(os.getpid()):
        try:
            with open(f"/proc/{child}/stat") as file:
                state, parent = file.read().rpartition(")")[2].split()[:2]
            if state == "Z" and int(parent) == os.getpid() and child not in OWN:
                os.waitpid(child, os.WNOHANG)
        except (OSError, ChildProcessError):
            continue


class Mark:
    """One line of the objective's file."""

    def __init__(self, line):
        word = line.split()
        self.kind, self.number, self.pid, self.at = word[0], int(word[1]), int(word[2]), int(word[3]) / 1e6
        self.rest = word[4:]  # begin: seed and parameters; end: value


def read_marks(path):
    try:
        with open(path) as file:
            return [Mark(line) for line in file]
    except FileNotFoundError:
        return []


ACKNOWLEDGED = re.compile(r"hpo run: trial (\d+) (complete|pruned|fail)\b:?(.*)")


def acknowledged(text):
    """Trials that `hpo run -v` has called finished: {number: (state, rest of the line)}."""
    found = {}
    for line in text.splitlines(keepends=True):
        match = ACKNOWLEDGED.match(line) if line.endswith("\n") else None
        if match:
            number = int(match.group(1))
            check(number not in found, f"trial {number} acknowledged twice: {line!r}")
            found[number] = (match.group(2), match.group(3).strip())
    return found


def one_line(result, *words):
    """The error that a person sees: exactly one line on stderr, starting with the command, with these words in it."""
    lines = [line for line in result.err.splitlines() if line.strip()]
    check(len(lines) == 1, lambda: f"expected one line: {result}")
    check(re.match(r"hpo(-fsck| [a-z-]+)?: ", lines[0]), lambda: f"does not begin with the command: {result}")
    for word in words:
        check(re.search(word, lines[0], re.IGNORECASE), lambda: f"does not say {word!r}: {result}")
    return lines[0]


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))]


def main(*tests):
    """Run the tests named on the command line, or all. 0 passed, 1 failed, 77 all skipped."""
    become_subreaper()
    wanted = sys.argv[1:]
    print(f"scale {SCALE}, HPO_TEST_SEED={SEED}", flush=True)
    failed = skipped = 0
    tests = [test for test in tests if not wanted or test.__name__ in wanted]
    for test in tests:
        place = Place(test.__name__)
        begin = time.monotonic()
        verdict = "ok"
        try:
            test(place)
        except Skipped as why:
            verdict = f"SKIPPED: {why}"
            skipped += 1
        except Failed as why:
            verdict = f"FAILED: {why}"
            failed += 1
        except Exception:
            verdict = f"FAILED: {traceback.format_exc()}"
            failed += 1
        left = place.close()
        if left and verdict == "ok":
            verdict = f"FAILED: left running: {', '.join(left)}"
            failed += 1
        print(f"{test.__name__.replace('_', ' ')} ({time.monotonic() - begin:.1f} s): {verdict}", flush=True)
    print(f"{len(tests) - failed - skipped} passed, {failed} failed, {skipped} skipped")
    sys.exit(1 if failed or not tests else 77 if skipped == len(tests) else 0)
