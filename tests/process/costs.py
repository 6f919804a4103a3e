#!/usr/bin/python3
"""What one durable trial costs, counted from outside by strace and from inside by the engine.

Goal (P6): ask, ten suggestions of a declared space and tell are exactly one flush and dirty at most one
4 KiB page of the log; the `attest` slot, which nobody waits for, is counted apart.
Method: runs of 50 and of 250 trials, every flush and write of each counted by file; the difference is
what 200 trials cost in the steady state, without opening and closing.
"""
import os
import re
import shutil
import subprocess

from harness import HELPERS, Skipped, check, main, must_fail

FEW, MANY = 50, 250
SYSCALLS = "fdatasync,fsync,sync_file_range,msync,pwrite64,pwritev,pwritev2,write,writev"
CALL = re.compile(r"^(\w+)\((\d+)<([^>]*)>(.*)$")
WRITTEN = re.compile(r", (\d+), (\d+)\) += (\d+)$")


class Count:
    """Calls of one run: flushes and writes of segments and of everything else in the store."""

    def __init__(self):
        self.flushes = self.writes = self.bytes = self.pages = 0
        self.attest_writes = self.attest_flushes = 0
        self.other = {}
        self.dirty = set()

    def see(self, name, path, rest):
        segment = path.endswith(".wal")
        if name in ("fdatasync", "fsync") and segment:
            self.flushes += 1
            self.pages += len(self.dirty)
            self.dirty.clear()
        elif name == "pwrite64" and segment:
            size, offset, written = (int(word) for word in WRITTEN.search(rest).groups())
            check(size == written, f"short write: {rest}")
            self.writes += 1
            self.bytes += written
            self.dirty.update(range(offset // 4096, (offset + written - 1) // 4096 + 1))
        elif path.endswith("/attest"):
            self.attest_writes += name == "pwrite64"
            self.attest_flushes += name != "pwrite64"
        else:
            kind = name, re.sub(r"[0-9a-f]{8,}", "*", os.path.basename(path))  # names are partly random
            self.other[kind] = self.other.get(kind, 0) + 1


def count_calls(place, args, store, **options):
    """Run a program under strace and count its calls on files of the store."""
    if not shutil.which("strace"):
        raise Skipped("no strace")
    # One file per process (-ff): calls of processes that run at once do not interleave in it.
    trace = place.path("trace", "of")
    place.remove(os.path.dirname(trace))
    os.mkdir(os.path.dirname(trace))
    # LeakSanitizer cannot work in a traced process.
    env = {"ASAN_OPTIONS": "detect_leaks=0"}
    line = [
        "strace",
        "-ff",
        "-y",
        "-s",
        "0",
        "-e",
        f"trace={SYSCALLS}",
        "-e",
        "signal=none",
        "-o",
        trace,
        *args,
    ]
    result = place.run(line, env=env, expect=None, **options)
    if "ptrace" in result.err.lower():
        raise Skipped(f"strace may not trace here: {result.err.splitlines()[0]}")
    check(result.status == 0, lambda: str(result))
    count = Count()
    for name in os.listdir(os.path.dirname(trace)):
        with open(os.path.join(os.path.dirname(trace), name)) as file:
            for text in file:
                call = CALL.match(text)
                if call and call.group(3).startswith(store + "/"):
                    check(not text.rstrip().endswith("<unfinished ...>"), f"a call without its end: {text}")
                    count.see(call.group(1), call.group(3), call.group(4))
    return count


def report(who, few, many):
    """Means per trial between the two runs."""
    trials = MANY - FEW
    mean = lambda name: (getattr(many, name) - getattr(few, name)) / trials
    print(
        f"  {who}: per trial {mean('flushes'):g} flush, {mean('writes'):g} log writes of together {mean('bytes'):.0f} bytes,"
        f" {mean('pages'):g} dirty pages; besides, {mean('attest_writes'):g} attest writes"
    )


def check_costs(few, many):
    trials = MANY - FEW
    check(
        many.flushes - few.flushes == trials,
        f"{trials} trials cost {many.flushes - few.flushes} flushes of the log",
    )
    check(
        many.pages - few.pages <= trials, f"{trials} trials dirtied {many.pages - few.pages} pages of the log"
    )
    check(
        many.attest_flushes == few.attest_flushes,
        f"attest was flushed {many.attest_flushes - few.attest_flushes} times",
    )
    check(
        many.attest_writes - few.attest_writes <= trials,
        f"attest was written {many.attest_writes - few.attest_writes} times",
    )
    other = {key: n - few.other.get(key, 0) for key, n in many.other.items() if n > few.other.get(key, 0)}
    check(not other, f"other calls that grow with the number of trials: {other}")


def library(place, name, trials):
    script = place.path("counts")
    with open(script, "w") as file:
        file.write(f"{trials}\n")
    with open(script) as stdin:
        return count_calls(
            place, [os.path.join(HELPERS, "trials"), place.path(name)], place.path(name), stdin=stdin
        )


def one_flush_and_one_page_by_strace(place):
    few, many = library(place, "few.hpo", FEW), library(place, "many.hpo", MANY)
    report("library", few, many)
    check_costs(few, many)
    must_fail("no flush at all", check_costs, few, few)
    many.pages += 1
    must_fail("one page too many", check_costs, few, many)


def hpo_run_costs_no_more(place):
    """The same through `hpo run`: a declared space, a real objective."""

    def run(name, trials):
        return count_calls(place, place.run_line(trials, store=place.path(name)), place.path(name))

    few, many = run("few.hpo", FEW), run("many.hpo", MANY)
    report("hpo run", few, many)
    check(
        many.flushes - few.flushes == MANY - FEW,
        f"{MANY - FEW} trials cost {many.flushes - few.flushes} flushes",
    )


def the_engine_counts_the_same(place):
    process = place.start(
        [os.path.join(HELPERS, "trials"), place.store],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def after(trials):
        process.stdin.write(f"{trials}\n")
        process.stdin.flush()
        check(process.stdout.readline() == "done\n", "the trials failed")
        return place.hpo("stat", "-s", place.store, "--json").json()

    few, many = after(FEW), after(MANY - FEW)
    trials = MANY - FEW
    grown = {
        key: many[key] - few[key]
        for key in (
            "trials",
            "flushes",
            "commits",
            "log_writes",
            "log_write_bytes",
            "log_sectors",
            "log_pages",
            "batches",
            "attest_writes",
        )
    }
    process.stdin.close()
    check(process.wait() == 0, "closing failed")
    process.stdout.close()
    print(f"  hpo stat: per trial " + ", ".join(f"{n / trials:g} {key}" for key, n in grown.items()))
    check(grown["trials"] == trials, "not the trials that were asked for")
    check(grown["flushes"] == trials, f"{trials} trials cost {grown['flushes']} flushes")
    check(grown["commits"] == trials, f"{trials} trials waited {grown['commits']} times")
    check(grown["log_pages"] <= trials, f"{trials} trials dirtied {grown['log_pages']} pages")
    check(many["flush_failures"] == 0, "a flush failed")


main(one_flush_and_one_page_by_strace, hpo_run_costs_no_more, the_engine_counts_the_same)
