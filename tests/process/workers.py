#!/usr/bin/python3
"""Eight `hpo run` on one store, SIGKILLed at random all the time and respawned at once.

Goal: no acknowledged trial is lost, numbers are given out once each, the store stays sound, and the
survivors of a kill go on (P1, P2, P7).
Method: every worker's -v lines come through a pipe, so that this process knows what was acknowledged,
and when. Kills come at random instants, of a random worker, alone or together with its objective.
When enough have hit, the workers are asked to stop, a last run finishes what is left over, and the
study is compared with everything that was ever acknowledged.
Times are printed and decide nothing.
"""
import os
import random
import selectors
import signal
import subprocess
import time

from harness import (
    ACKNOWLEDGED,
    PATIENCE_S,
    SEED,
    acknowledged,
    check,
    kill_all,
    main,
    must_fail,
    objectives_of,
    percentile,
    read_marks,
    scaled,
)

WORKERS = 8
OBJECTIVE_US = "15000"
MEAN_BETWEEN_KILLS_S = 0.05
FINISHED = ("complete", "fail", "pruned")


class Worker:
    def __init__(self, swarm):
        self.swarm = swarm
        self.text = b""
        self.process = swarm.place.start(
            swarm.line, env={"OBJECTIVE_US": OBJECTIVE_US}, stderr=subprocess.PIPE
        )
        os.set_blocking(self.process.stderr.fileno(), False)
        swarm.selector.register(self.process.stderr, selectors.EVENT_READ, self)

    def read(self):
        """Take in what it has said; False at its end."""
        try:
            piece = os.read(self.process.stderr.fileno(), 65536)
        except BlockingIOError:
            return True
        now = time.monotonic()
        lines = (self.text + piece).split(b"\n")
        self.text = lines.pop()
        for line in lines:
            self.swarm.heard(self, line.decode() + "\n", now)
        return bool(piece)

    def close(self):
        """It has ended: read what is left in the pipe, then let go."""
        self.process.wait()
        while self.read() and self.swarm.selector.select(0):
            pass
        self.swarm.selector.unregister(self.process.stderr)
        self.process.stderr.close()


class Swarm:
    """The workers, and everything they have acknowledged."""

    def __init__(self, place):
        self.place = place
        self.selector = selectors.DefaultSelector()
        self.line = place.run_line(10**9, extra=["-v"])
        self.acks = {}  # number -> (state, value)
        self.arrivals = []  # (when, worker)
        self.other = []  # lines that are no acknowledgements
        self.workers = []

    def heard(self, worker, line, now):
        for number, said in acknowledged(line).items():
            check(
                number not in self.acks,
                f"trial {number} acknowledged twice: {self.acks.get(number)} and {said}",
            )
            self.acks[number] = said
            self.arrivals.append((now, worker))
        if not ACKNOWLEDGED.match(line):
            self.other.append(line)

    def listen(self, until):
        while True:
            left = until - time.monotonic()
            if left <= 0:
                return
            for key, _ in self.selector.select(left):
                if not key.data.read():  # its own end: only a kill of ours may end a worker
                    key.data.process.wait()
                    check(
                        False,
                        f"a worker ended by itself with {key.data.process.returncode}: {self.other[-3:]}",
                    )

    def wait_for_each(self):
        """Until every worker has finished another trial: whoever was left alone by the kills goes on."""
        begin = time.monotonic()
        while {worker for when, worker in self.arrivals if when > begin} < set(self.workers):
            check(time.monotonic() - begin < PATIENCE_S, "a survivor does not go on")
            self.listen(time.monotonic() + 0.05)

    def kill_one(self, rng):
        victim = rng.randrange(WORKERS)
        worker = self.workers[victim]
        pids = [worker.process.pid]
        if rng.random() < 0.5:
            pids += objectives_of(worker.process.pid)
        at = time.monotonic()
        kill_all(pids)
        worker.close()
        self.workers[victim] = Worker(self)
        return at, worker

    def stop(self):
        """SIGTERM: running trials are finished, no new ones begun."""
        for worker in self.workers:
            worker.process.send_signal(signal.SIGTERM)
        for worker in self.workers:
            worker.process.wait(timeout=PATIENCE_S)
            worker.close()
            check(
                worker.process.returncode == 130,
                f"a worker asked to stop ended with {worker.process.returncode}: {self.other[-3:]}",
            )


def gaps(kills, arrivals, workers_after):
    """For each kill, the time to the next acknowledgement by a worker that was there already, and is not the one hit."""
    found = []
    for (at, victim), survivors in zip(kills, workers_after):
        times = [
            when - at
            for when, worker in arrivals
            if when > at and worker is not victim and worker in survivors
        ]
        if times:
            found.append(min(times))
    return found


def check_nothing_lost(acks, trials):
    by_number = {trial["number"]: trial for trial in trials}
    for number, (state, value) in acks.items():
        check(number in by_number, f"acknowledged trial {number} is lost")
        trial = by_number[number]
        check(trial["state"] == state, f"trial {number} was acknowledged as {state} and is {trial['state']}")
        if state == "complete":
            check(
                [float(value)] == trial["values"],
                f"trial {number} was acknowledged with {value} and has {trial['values']}",
            )


def check_numbers(trials, total):
    numbers = [trial["number"] for trial in trials]
    check(
        numbers == list(range(total)), lambda: f"numbers 0 to {total - 1} are not each there once: {numbers}"
    )
    check(all(trial["state"] in FINISHED for trial in trials), "a trial is not finished")
    ids = {trial["id"] for trial in trials}
    check(len(ids) == total, "two trials share an id")


def check_none_again(trials, marks, hits):
    """A trial is evaluated again only if a kill took its attempt: at most one repetition each."""
    begins = sum(mark.kind == "begin" for mark in marks)
    check(
        {mark.number for mark in marks} == {trial["number"] for trial in trials},
        "a trial has no evaluation, or an evaluation no trial",
    )
    check(begins - len(trials) <= hits, f"{begins} evaluations of {len(trials)} trials after {hits} kills")
    return begins - len(trials)


def check_values_honest(trials, marks):
    """Each value is what one evaluation of that very trial has printed."""
    printed = {}
    for mark in marks:
        if mark.kind == "end":
            printed.setdefault(mark.number, set()).add(mark.rest[0])
    for trial in trials:
        said = {
            float(text) for text in printed.get(trial["number"], ()) if text not in ("fail", "nan", "-nan")
        }
        if trial["state"] == "complete":
            check(
                set(trial["values"]) <= said,
                f"trial {trial['number']} has {trial['values']}, evaluations printed {said}",
            )


def eight_workers_under_fire(place):
    rng = random.Random(SEED)
    wanted = scaled(200, least=8)
    swarm = Swarm(place)
    swarm.workers = [Worker(swarm) for _ in range(WORKERS)]
    kills, there = [], []
    for _ in range(wanted):
        swarm.listen(time.monotonic() + rng.expovariate(1 / MEAN_BETWEEN_KILLS_S))
        before = list(swarm.workers)
        kills.append(swarm.kill_one(rng))
        there.append(before)
    swarm.wait_for_each()
    swarm.stop()
    running = place.trials(state="running")
    last = place.trials()[-1]["number"] + 3
    place.run(place.run_line(last + 1), env={"OBJECTIVE_US": "0"})
    place.wait_for_strays()

    trials, marks = place.trials(), read_marks(place.marks)
    check_nothing_lost(swarm.acks, trials)
    check_numbers(trials, last + 1)
    repeated = check_none_again(trials, marks, wanted)
    check_values_honest(trials, marks)
    place.fsck()
    check(
        not running, f"trials still running after every worker has stopped: {[t['number'] for t in running]}"
    )

    waits = gaps(kills, swarm.arrivals, there)
    ms = [f"{1e3 * wait:.1f} ms" for wait in (percentile(waits, 0.5), percentile(waits, 0.99), max(waits))]
    print(
        f"  {wanted} SIGKILLs among {WORKERS} workers; {len(swarm.acks)} trials acknowledged, lost 0;"
        f" numbers 0 to {last} once each; evaluations repeated {repeated}; hpo-fsck --full clean"
    )
    print(
        f"  from a kill to the next acknowledged trial of a survivor ({len(waits)} kills): p50 {ms[0]}, p99 {ms[1]},"
        f" longest {ms[2]}; trials take {int(OBJECTIVE_US) / 1000:g} ms"
    )

    number = next(number for number, (state, _) in swarm.acks.items() if state == "complete")
    must_fail("a lost trial", check_nothing_lost, swarm.acks, [t for t in trials if t["number"] != number])
    must_fail("a changed value", check_nothing_lost, {number: ("complete", "0.1")}, trials)
    must_fail("a number given out twice", check_numbers, trials[:-1] + trials[-2:-1], last + 1)
    must_fail("a gap", check_numbers, trials[1:], last + 1)
    must_fail("a needless evaluation", check_none_again, trials, marks, repeated - 1)


main(eight_workers_under_fire)
