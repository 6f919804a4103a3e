#!/usr/bin/python3
"""One `hpo run`, killed with SIGKILL at many instants and resumed by the same command line.

Goal: the final study is the uninterrupted run's, whenever and whomever the kill hit, and no committed
trial is ever evaluated again (P1, P2, P3).
Method: measure one undisturbed search. Then case after case in a fresh store, with a kill at an instant
drawn from the search's whole length (half of the cases), from its first moments, when store and study
come into being (a quarter), or just after an evaluation began or ended (a quarter). Hit in turn are the
objective, hpo run, and both; every fifth case is hit three times. Then the same command line runs to the
end, and `hpo diff` and the objective's own notes tell.
"""
import os
import random
import select
import subprocess
import time

from harness import (
    Failed,
    HPO,
    PATIENCE_S,
    SEED,
    acknowledged,
    check,
    descendants,
    kill_all,
    main,
    must_fail,
    objectives_of,
    read_marks,
    scaled,
)

TRIALS = 20
TARGETS = ("objective", "parent", "both")
FINISHED = ("complete", "fail", "pruned")


def begun(marks):
    """Number -> the begin marks of its evaluations."""
    found = {}
    for mark in marks:
        if mark.kind == "begin":
            found.setdefault(mark.number, []).append(mark)
    return found


def check_none_again(committed, marks, killed_at):
    """No evaluation of a trial that was committed at the kill begins after it."""
    for number, evaluations in begun(marks).items():
        late = [mark.at - killed_at for mark in evaluations if mark.at > killed_at]
        check(
            number not in committed or not late,
            f"trial {number} was committed, and is evaluated again {late} s after the kill",
        )


def check_attempts_alike(marks):
    """All attempts of a trial got the same parameters and the same HPO_SEED."""
    for number, evaluations in begun(marks).items():
        check(
            len({tuple(mark.rest) for mark in evaluations}) == 1,
            f"attempts of trial {number} differ: {[m.rest for m in evaluations]}",
        )


def check_numbers(trials):
    check(
        [trial["number"] for trial in trials] == list(range(TRIALS)),
        f"numbers are {[t['number'] for t in trials]}",
    )
    check(all(trial["state"] in FINISHED for trial in trials), "a trial is not finished")


class Search:
    """One search in a store of its own, killed and resumed."""

    def __init__(self, place, name, sampler="random", jobs=1, objective_us=0):
        self.place, self.jobs = place, jobs
        self.store = place.path(name + ".hpo")
        self.marks_path = place.path(name + ".marks")
        extra = ["-v"] + (["--jobs", str(jobs), "--window", str(jobs)] if jobs > 1 else [])
        self.line = place.run_line(TRIALS, store=self.store, sampler=sampler, extra=extra)
        self.env = {"OBJECTIVE_MARKS": self.marks_path, "OBJECTIVE_US": str(objective_us)}
        self.hits = []  # (target, seconds since the start)
        self.deaths = []  # (when hpo run was killed, the trials committed then)

    def start(self):
        self.process = self.place.start(self.line, env=self.env, stderr=subprocess.PIPE)

    def marks(self):
        return read_marks(self.marks_path)

    def wait_for(self, seconds, what):
        """Sleep until the instant, then until the objective leaves another mark of kind `what` (None: at once)."""
        time.sleep(seconds)
        if what:
            seen = sum(mark.kind == what for mark in self.marks())
            while self.process.poll() is None and sum(mark.kind == what for mark in self.marks()) == seen:
                pass

    def victims(self, target):
        if target == "parent":
            return [self.process.pid]
        if target == "both":
            return [self.process.pid] + descendants(self.process.pid)
        until = time.monotonic() + 0.5
        while self.process.poll() is None and time.monotonic() < until:
            pids = objectives_of(self.process.pid)
            if pids:
                return pids
        return []

    def kill(self, target):
        """False if the search was over."""
        pids = self.victims(target)
        at = time.monotonic()
        if self.process.poll() is not None or not kill_all(pids):
            return False
        if target != "objective":
            self.note_death(at)
            self.start()
        return True

    def note_death(self, killed_at):
        """What was acknowledged is committed; what is committed must never be evaluated again."""
        self.process.wait()
        stderr = b""
        while select.select([self.process.stderr], [], [], 0)[
            0
        ]:  # not until its end: an orphan may hold it open
            piece = os.read(self.process.stderr.fileno(), 65536)
            if not piece:
                break
            stderr += piece
        self.process.stderr.close()
        listing = self.place.run([HPO, "trials", "-s", self.store, "s", "--jsonl"], expect=None)
        committed = set()
        if listing.status == 0:
            committed = {trial["number"] for trial in listing.jsonl() if trial["state"] in FINISHED}
        else:  # no store or no study yet
            check(listing.status == 3, lambda: f"reading after the kill: {listing}")
        lost = set(acknowledged(stderr.decode())) - committed
        check(not lost, f"acknowledged trials {sorted(lost)} are lost")
        self.deaths.append((killed_at, committed))

    def run(self, kills):
        """Kill it at the given (seconds, mark, target), then let it end."""
        self.start()
        for seconds, what, target in kills:
            self.wait_for(seconds, what)
            if not self.kill(target):
                break
            self.hits.append((target, seconds))
        stderr = self.process.communicate(timeout=PATIENCE_S)[1].decode()
        check(
            self.process.returncode == 0,
            lambda: f"the resumed run ended with {self.process.returncode}: {stderr}",
        )
        self.place.wait_for_strays()

    def verify(self, reference):
        """The number of evaluations that were repeated."""
        marks = self.marks()
        for killed_at, committed in self.deaths:
            check_none_again(committed, marks, killed_at)
        check_attempts_alike(marks)
        check_numbers(self.place.trials(store=self.store))
        repeated = sum(len(evaluations) - 1 for evaluations in begun(marks).values())
        check(
            repeated <= len(self.hits) * self.jobs,
            f"{repeated} evaluations repeated by {len(self.hits)} kills",
        )
        same = self.place.diff(self.store, store=reference, expect=None)
        check(same.status == 0, lambda: f"differs from the uninterrupted run: {same}")
        return repeated


def draw_kills(rng, index, length_s):
    target = index % 3
    count = 3 if index % 5 == 4 else 1
    kills = []
    for i in range(count):
        kind = (index // 3 + i) % 4
        if kind == 0:
            instant = (rng.uniform(0, min(0.03, length_s)), None)
        elif kind == 1:
            instant = (rng.uniform(0, length_s * 0.7), rng.choice(("begin", "end")))
        else:
            instant = (rng.uniform(0, length_s * 0.9), None)
        kills.append((*instant, TARGETS[(target + i) % 3]))
    return kills


class Tally:
    """What the cases of a test have come to."""

    def __init__(self):
        self.cases = self.deaths = self.committed = self.repeated = 0
        self.hits = dict.fromkeys(TARGETS, 0)

    def take(self, search, kills, reference):
        """Run one case; a failure says how to find it again."""
        try:
            search.run(kills)
            self.repeated += search.verify(reference)
        except Exception as why:
            raise Failed(
                f"case {self.cases} of seed {SEED}: kills {kills}, hits {search.hits}: {why!r}"
            ) from why
        self.cases += 1
        for target, _ in search.hits:
            self.hits[target] += 1
        self.deaths += len(search.deaths)
        self.committed += sum(len(trials) for _, trials in search.deaths)
        search.place.remove(search.store, search.store + ".trials", search.marks_path)

    def __str__(self):
        hits = ", ".join(f"{n} {target}" for target, n in self.hits.items())
        return (
            f"{sum(self.hits.values())} kills hit ({hits}) in {self.cases} searches; {self.committed} trials were"
            f" committed at {self.deaths} deaths of hpo run, evaluated again: 0; uncommitted evaluations repeated:"
            f" {self.repeated}; studies that differ: 0"
        )


def undisturbed(place, name, *options):
    """A search that nobody kills, and how long it took."""
    search = Search(place, name, *options)
    begin = time.monotonic()
    search.run([])
    length_s = time.monotonic() - begin
    check(search.verify(search.store) == 0, "an undisturbed search evaluated a trial twice")
    return search, length_s


def killed_anywhere_resumes_to_the_same_study(place):
    rng = random.Random(SEED)
    wanted = scaled(200, least=6)
    whole = {sampler: undisturbed(place, "whole-" + sampler, sampler) for sampler in place.samplers()}
    tally = Tally()
    while sum(tally.hits.values()) < wanted:
        check(tally.cases < 20 * wanted, f"the kills come too late: {tally}")
        sampler = rng.choice(list(whole))
        reference, length_s = whole[sampler]
        kills = draw_kills(rng, tally.cases, length_s)
        tally.take(Search(place, f"case{tally.cases}-{sampler}", sampler), kills, reference.store)
    print(f"  {tally} ({', '.join(whole)}; {TRIALS} trials in {length_s:.2f} s)")


def in_a_window_parallel_runs_are_the_same_study_too(place):
    """--jobs 3 --window 3, other timings, kills: one study (P3). Not so without the window, unless the sampler is blind."""
    rng = random.Random(SEED)
    tally = Tally()
    samplers = place.samplers()
    whole = {sampler: undisturbed(place, "whole-" + sampler, sampler, 3) for sampler in samplers}
    for case in range(scaled(30, least=3)):
        sampler = samplers[case % len(samplers)]
        reference, length_s = whole[sampler]
        search = Search(place, f"case{case}-{sampler}", sampler, 3, rng.choice((0, 500, 5000)))
        tally.take(search, draw_kills(rng, case, length_s), reference.store)
    print(f"  {tally} ({', '.join(whole)})")


def the_checks_can_fail(place):
    """Another seed is another study; doctored notes are noticed."""
    one, _ = undisturbed(place, "one")
    other = Search(place, "other")
    place.run(place.run_line(TRIALS, seed=2, store=other.store), env=other.env)
    must_fail("a study of another seed", other.verify, one.store)
    check(
        place.diff(other.store, store=one.store, expect=1).out.strip(),
        "hpo diff says nothing about the difference",
    )
    marks = one.marks()
    last = marks[-2]
    must_fail(
        "a committed trial that is evaluated after the kill",
        check_none_again,
        {last.number},
        marks,
        last.at - 0.001,
    )
    last.rest[0] += "1"
    must_fail("an attempt with another seed", check_attempts_alike, marks + one.marks())
    must_fail("a missing number", check_numbers, place.trials(store=one.store)[1:])


main(
    killed_anywhere_resumes_to_the_same_study,
    in_a_window_parallel_runs_are_the_same_study_too,
    the_checks_can_fail,
)
