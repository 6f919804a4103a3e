#!/usr/bin/python3
"""Studies from the outside: changes of a study that are refused and accepted, the queue, ask and tell
from a shell, looking into a store while it is written, and that snapshots are only a convenience.
"""
import json
import os
import re
import select
import shlex
import shutil
import signal
import subprocess
import time

from harness import HPO, PATIENCE_S, SPACE, check, main, one_line, read_marks


def a_changed_study_is_refused_with_a_diff(place):
    place.run(place.run_line(4))
    before = place.trials()
    wider = ["--param", "x=float(0,2)", *SPACE[2:]]
    reordered = [*SPACE[2:4], *SPACE[:2], *SPACE[4:]]
    fewer = SPACE[:4]
    seed = place.run_line(6, seed=9)
    cases = {
        "a wider range": (
            place.run_line(6, space=wider),
            [r"-.*x=float\(0,\s*1\)", r"\+.*x=float\(0,\s*2\)"],
        ),
        "another order": (place.run_line(6, space=reordered), [r"-.*\bx\b", r"\+.*\bk\b"]),
        "a parameter less": (
            place.run_line(6, space=fewer, objective=["true", "{x}", "{k}"]),
            [r"-.*c=choice\(a,\s*b,\s*fail,\s*nan\)"],
        ),
        "another seed": (seed, ["seed", "9"]),
        "another direction": (
            place.run_line(6, extra=["--direction", "maximize"]),
            ["direction", "maximize"],
        ),
    }
    for what, (line, words) in cases.items():
        result = place.run(line, expect=2)
        check(result.err.startswith("hpo run: "), lambda: f"{what}: {result}")
        for word in words:
            check(
                any(re.search(word, text) for text in result.err.splitlines()),
                lambda: f"{what}: no {word!r}: {result}",
            )
        if "direction" not in what:
            check("--allow-change" in result.err, lambda: f"{what}: does not say what to do: {result}")
        check(place.trials() == before, f"{what}: refused, but something has changed")
    place.run(place.run_line(6, space=wider, extra=["--allow-change"]))
    place.run(place.run_line(6, space=wider))  # now this is the study's space
    check(place.run(place.run_line(8), expect=2).err, "the old space goes unnoticed")
    place.run([*seed[:2], "--allow-change", *seed[2:]])
    after = place.trials()
    check(after[:4] == before and len(after) == 6, "changing the study changed its trials")
    place.fsck()


def diff_tells_by_its_exit_code(place):
    one, same, other = (place.path(name) for name in ("one.hpo", "same.hpo", "other.hpo"))
    place.run(place.run_line(6, store=one))
    place.run(place.run_line(6, store=same))
    place.run(place.run_line(6, store=other, seed=2))
    place.diff(same, store=one)
    check("x" in place.diff(other, store=one, expect=1).out, "the parameter that differs is not named")
    place.diff(one, store=one, other_study="absent", expect=2)
    place.diff(place.path("absent.hpo"), store=one, expect=2)
    place.run(place.run_line(7, store=same))
    check("6" in place.diff(same, store=one, expect=1).out, "a trial more goes unnoticed")
    place.run(place.run_line(6, store=one, study="twin"))
    place.hpo("diff", "-s", one, "s", "twin")
    # One value, one attribute, one report, one state each make a difference.
    for name, body in {
        "value": "echo 2",
        "attr": """echo '{"value": 1, "attrs": {"a": 1}}' >&"$HPO_RESULT_FD" """,
        "report": 'echo "report 1 1" >&"$HPO_RESULT_FD"; echo 1',
        "state": "exit 1",
    }.items():
        plain, script = place.script("plain", "echo 1"), place.script(
            name, f"if [ $HPO_TRIAL = 2 ]; then {body}; else echo 1; fi"
        )
        place.run(place.run_line(4, store=one, study="plain", objective=[plain]))
        place.run(place.run_line(4, store=one, study=name, objective=[script]))
        result = place.hpo("diff", "-s", one, "plain", name, expect=1)
        check("2" in result.out, lambda: f"{name}: the trial is not named: {result}")


def enqueued_points_come_first_and_survive_a_kill(place):
    """Two points wait; the run is killed in the first of them: same points, same order, as without the kill."""

    def prepare(store):
        place.run(place.run_line(2, store=store))
        for x in ("0.125", "0.25"):
            place.hpo("enqueue", "-s", store, "s", "--param", f"x={x}", "--param", "c=a")

    whole, killed = place.path("whole.hpo"), place.path("killed.hpo")
    for store in (whole, killed):
        prepare(store)
    check([t["state"] for t in place.trials(store=whole)][2:] == ["waiting"] * 2, "not two waiting")
    place.run(place.run_line(6, store=whole))
    for after in (3, 4):  # killed while the third, then the fourth trial runs
        place.remove(place.marks)
        process = place.start(place.run_line(6, store=killed), env={"OBJECTIVE_US": "300000"})
        until = time.monotonic() + PATIENCE_S
        while (
            sum(mark.kind == "begin" for mark in read_marks(place.marks)) < 1 + (after == 4)
            and time.monotonic() < until
        ):
            time.sleep(0.002)
        process.kill()
        process.wait()
        place.wait_for_strays()
    place.run(place.run_line(6, store=killed))
    place.diff(killed, store=whole)
    xs = [trial["params"]["x"] for trial in place.trials(store=killed)]
    check(xs[2:4] == [0.125, 0.25] and len(xs) == 6, f"{xs}")
    one_line(place.hpo("enqueue", "-s", whole, "s", "--param", "nosuch=1", expect=2), "nosuch")
    one_line(place.hpo("enqueue", "-s", whole, "s", "--param", "c=zebra", expect=2), "zebra")


def a_shell_drives_the_search(place):
    """create, ask, tell, abandon: trials that belong to no process."""
    store = ["-s", place.store]
    place.hpo("create", *store, "s", "--sampler", "random", "--seed", "1", *SPACE)
    asked = [place.hpo("ask", *store, "s", "--json").json() for _ in range(3)]
    check([trial["number"] for trial in asked] == [0, 1, 2], asked)
    check([t["state"] for t in place.trials()] == ["running"] * 3, "not running")
    place.hpo("tell", *store, "s", "1", "0.5")
    one_line(place.hpo("tell", *store, "s", "1", "0.75", expect=1), "finished|1")
    place.hpo("abandon", *store, "s", "0")
    again = place.hpo("ask", *store, "s", "--json").json()
    check(
        again["number"] == 0 and again["params"] == asked[0]["params"],
        f"an abandoned trial comes back as {again}, was {asked[0]}",
    )
    place.hpo("tell", *store, "s", "0", "0.25")
    one_line(place.hpo("tell", *store, "s", "2", "nan", expect=2), "nan")
    one_line(place.hpo("tell", *store, "s", "2", expect=2))
    one_line(place.hpo("tell", *store, "s", "7", "1", expect=3), "7")
    place.hpo("tell", *store, "s", "2", "--state", "fail")
    check(
        [(t["state"], t["values"]) for t in place.trials()]
        == [("complete", [0.25]), ("complete", [0.5]), ("fail", [])],
        place.trials(),
    )
    # The parameters are those that hpo run would have used.
    whole = place.path("whole.hpo")
    place.run(place.run_line(3, store=whole))
    check(
        [t["params"] for t in place.trials()] == [t["params"] for t in place.trials(store=whole)],
        "ask and run draw differently",
    )
    # The loop of the manual, in sh.
    place.script(
        "loop",
        f"""set -e
for i in 1 2; do
    eval "$({shlex.quote(HPO)} ask -s "$1" s --env)"
    {shlex.quote(HPO)} tell -s "$1" s "$HPO_TRIAL" "$HPO_PARAM_X"
done""",
    )
    place.run([place.path("loop"), place.store])
    rest = place.trials()[3:]
    check([t["values"] for t in rest] == [[t["params"]["x"]] for t in rest] and len(rest) == 2, rest)
    best = place.hpo("best", *store, "s", "--json").json()
    check(best["values"][0] == min(t["values"][0] for t in place.trials() if t["values"]), best)
    place.fsck()


def a_detached_trial_survives_kills_of_others(place):
    place.hpo("create", "-s", place.store, "s", "--sampler", "random", "--seed", "1", *SPACE)
    number = place.hpo("ask", "-s", place.store, "s", "--json").json()["number"]
    process = place.start(place.run_line(4), env={"OBJECTIVE_US": "60000000"})
    until = time.monotonic() + PATIENCE_S
    while not read_marks(place.marks) and time.monotonic() < until:
        time.sleep(0.002)
    process.kill()
    process.wait()
    place.wait_for_strays()
    check(place.trials(state="running")[0]["number"] == number, "gone")
    place.hpo("tell", "-s", place.store, "s", str(number), "1")
    place.run(place.run_line(4))
    check(place.trials()[0]["values"] == [1] and len(place.trials()) == 4, place.trials())


def lines_of(process, enough):
    """Records that a follower prints, until there are enough."""
    seen, text = [], b""
    until = time.monotonic() + PATIENCE_S
    while not enough(seen):
        left = until - time.monotonic()
        check(
            left > 0 and select.select([process.stdout], [], [], left)[0],
            f"no more than {len(seen)} records appear",
        )
        text += os.read(process.stdout.fileno(), 65536)
        lines = text.split(b"\n")
        text = lines.pop()
        seen += [json.loads(line) for line in lines]
    return seen


def the_log_can_be_followed(place):
    """log --follow shows every record once, in order; also those of a writer that comes and goes while it
    does not look (stopped here, so that it happens every time)."""
    strip = lambda records: [{k: v for k, v in r.items() if k != "durable"} for r in records]
    ended = lambda n: lambda seen: seen and seen[-1]["type"] == "SESSION_CLOSE" and finished(seen) == n
    finished = lambda seen: sum(r["type"] == "TRIAL_FINISH" for r in seen)
    place.run(place.run_line(3))
    follower = place.start([HPO, "log", "-s", place.store, "--follow", "--jsonl"], stdout=subprocess.PIPE)
    seen = lines_of(follower, ended(3))
    follower.send_signal(signal.SIGSTOP)
    place.run(place.run_line(6, extra=["--jobs", "2"]))
    follower.send_signal(signal.SIGCONT)
    seen += lines_of(follower, ended(3))
    place.run(place.run_line(12), env={"OBJECTIVE_US": "50000"})  # long enough to be met at work
    seen += lines_of(follower, ended(6))
    follower.terminate()
    follower.wait()
    follower.stdout.close()
    whole = place.hpo("log", "-s", place.store, "--jsonl").jsonl()
    check(strip(seen) == strip(whole), "following shows something else than the log")
    lsns = [record["lsn"] for record in whole]
    check(sorted(set(lsns)) == list(range(1, lsns[-1] + 1)) and lsns == sorted(lsns), "LSNs have gaps")
    middle = lsns[len(lsns) // 2]
    part = place.hpo("log", "-s", place.store, "--jsonl", "--from", str(middle)).jsonl()
    check(strip(part) == strip([r for r in whole if r["lsn"] >= middle]), "--from shows something else")
    drawn = [
        r for r in place.hpo("log", "-s", place.store, "--jsonl", "--draws").jsonl() if r["type"] == "DRAW"
    ]
    check(len(drawn) >= 12 and all(r["words"] and r["digest_ok"] for r in drawn), f"{drawn[:1]}")


def snapshots_are_only_a_convenience(place):
    """Deleting every .mdb changes nothing."""
    line = place.run_line(40, extra=["--jobs", "2"])
    place.run(line)
    place.script(
        "many",
        """seq 2000 | sed 's/.*/report & 0.&/' >&"$HPO_RESULT_FD"; echo 1""",
    )
    place.run(place.run_line(12, study="big", objective=[place.path("many")]))
    snap = os.path.join(place.store, "snap")

    def look():
        stat = place.hpo("stat", "-s", place.store, "--json").json()
        return (
            place.trials(),
            place.trials("big"),
            stat["digest"],
            place.hpo("log", "-s", place.store, "--jsonl").out,
        )

    before = look()
    files = [name for name in os.listdir(snap) if name.endswith(".mdb")]
    check(files, "no snapshot was made: nothing is tested here")
    for name in files:
        os.unlink(os.path.join(snap, name))
    check(look() == before, "without snapshots the store reads differently")
    place.run(line)
    check(place.trials() == before[0], "a run changed the study")
    place.run(place.run_line(42))
    check(place.trials()[:40] == before[0], "going on changed the trials before")
    place.fsck()
    shutil.rmtree(snap)
    check(place.trials()[:40] == before[0], "without the directory the store reads differently")


def everything_that_looks_changes_nothing(place):
    """All reading commands, while the store is live and after, in every form; none writes."""
    place.run(place.run_line(5))
    wal = os.path.join(place.store, "wal")
    held = {name: open(os.path.join(wal, name), "rb").read() for name in os.listdir(wal)}
    s = ["-s", place.store]
    for command in (
        ["studies"],
        ["show", "s"],
        ["trials", "s"],
        ["trial", "s", "3"],
        ["best", "s"],
        ["log"],
        ["stat"],
    ):
        text = place.hpo(*command[:1], *s, *command[1:])
        check(text.out and not text.err, lambda: str(text))
        for form in ("--json", "--jsonl"):
            result = place.hpo(*command[:1], *s, *command[1:], form, expect=None)
            if result.status == 0:
                for line in result.out.splitlines() if form == "--jsonl" else [result.out]:
                    json.loads(line)
            else:
                check(result.status == 2, lambda: str(result))
    csv = place.hpo("trials", *s, "s", "--csv").out.splitlines()
    check(len(csv) == 6 and "number" in csv[0], csv)
    place.hpo("trials", "s", env={"HPO_STORE": place.store})
    check(place.hpo("--version").out.strip(), "no version")
    for command in (
        "run",
        "ask",
        "tell",
        "abandon",
        "enqueue",
        "studies",
        "show",
        "trials",
        "trial",
        "best",
        "log",
        "stat",
        "diff",
    ):
        check(place.hpo(command, "--help").out, f"no help for {command}")
    check(
        {name: open(os.path.join(wal, name), "rb").read() for name in os.listdir(wal)} == held,
        "a reading command wrote to the log",
    )
    place.fsck(flags=["--full", "--json"])
    check(
        place.run([os.path.join(os.path.dirname(HPO), "hpo-fsck"), "--quick", place.store]).status == 0,
        "quick",
    )


main(
    a_changed_study_is_refused_with_a_diff,
    diff_tells_by_its_exit_code,
    enqueued_points_come_first_and_survive_a_kill,
    a_shell_drives_the_search,
    a_detached_trial_survives_kills_of_others,
    the_log_can_be_followed,
    snapshots_are_only_a_convenience,
    everything_that_looks_changes_nothing,
)
