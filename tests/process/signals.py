#!/usr/bin/python3
"""How `hpo run` is stopped, and what it does when the objective is: Ctrl-C in two steps, SIGTERM, SIGUSR1,
time limits, interruptions that are rolled back and run again, and what --on-fail makes of failures.
"""
import os
import signal
import subprocess
import time

from harness import PATIENCE_S, acknowledged, check, main, read_marks

FINISHED = ("complete", "fail", "pruned")


def wait_until(condition, what):
    until = time.monotonic() + PATIENCE_S
    while not condition():
        check(time.monotonic() < until, f"waited in vain: {what}")
        time.sleep(0.002)


def begin_count(place):
    return sum(mark.kind == "begin" for mark in read_marks(place.marks))


def started(place, line, objective_us, evaluations):
    """A run under way, with so many evaluations begun."""
    process = place.start(line, env={"OBJECTIVE_US": str(objective_us)}, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: begin_count(place) >= evaluations or process.poll() is not None, "evaluations")
    check(process.poll() is None, lambda: f"ended early: {process.stderr.read()}")
    return process


def ended(process, status):
    err = process.communicate(timeout=PATIENCE_S)[1]
    check(process.returncode == status, f"ended with {process.returncode}, not {status}: {err}")
    return err


def same_as_undisturbed(place, trials):
    whole = place.path("whole.hpo")
    place.run(place.run_line(trials, store=whole), env={"OBJECTIVE_MARKS": place.path("whole.marks")})
    place.diff(place.store, store=whole)


def one_signal_finishes_what_runs(place):
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        place.remove(place.marks, place.store)
        line = place.run_line(8, extra=["-v"])
        process = started(place, line, 150000, 2)
        process.send_signal(number)
        err = ended(process, 130)
        marks = read_marks(place.marks)
        begins, ends = (sum(mark.kind == kind for mark in marks) for kind in ("begin", "end"))
        check(
            begins == ends and 2 <= begins <= 3,
            f"{begins} evaluations begun, {ends} ended after {number.name}",
        )
        trials = place.trials()
        check(
            len(trials) == begins and all(t["state"] in FINISHED for t in trials),
            f"after {number.name}: {trials}",
        )
        check(set(acknowledged(err)) == {t["number"] for t in trials}, f"acknowledged: {err}")
        place.run(line)
        same_as_undisturbed(place, 8)
        check(begin_count(place) == 8, "an evaluation was repeated")


def two_signals_stop_at_once(place):
    for first, second in (
        (signal.SIGINT, signal.SIGINT),
        (signal.SIGTERM, signal.SIGTERM),
        (signal.SIGUSR1, signal.SIGINT),
    ):
        place.remove(place.marks, place.store)
        process = started(place, place.run_line(6), 60_000_000, 1)  # nobody could wait for that
        process.send_signal(first)
        time.sleep(0.1)
        check(process.poll() is None, "one signal stopped the running evaluation")
        process.send_signal(second)
        ended(process, 130)
        place.wait_for_strays()
        check(
            not place.trials() or [t["state"] for t in place.trials()] in ([], ["waiting"]),
            f"left: {place.trials()}",
        )
        place.run(place.run_line(6))
        same_as_undisturbed(place, 6)


def a_deaf_objective_is_killed(place):
    ready = place.path("ready")
    script = place.script("deaf", f"trap '' TERM INT; echo > {ready}; while :; do sleep 1; done")
    line = place.run_line(2, objective=[script], extra=["--grace", "0.3"])
    process = place.start(line, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: os.path.exists(ready), "the objective")
    process.send_signal(signal.SIGTERM)
    time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    ended(process, 130)
    place.wait_for_strays()


def four_jobs(place):
    """--jobs 4: four at a time, one signal finishes four, the total is the total."""
    process = started(place, place.run_line(12, extra=["--jobs", "4"]), 200000, 4)
    check(len(place.trials(state="running")) == 4, "not four at a time")
    process.send_signal(signal.SIGINT)
    ended(process, 130)
    check(len(place.trials()) == 4, f"{len(place.trials())} trials")
    place.run(place.run_line(12, extra=["--jobs", "4"]))
    check([t["number"] for t in place.trials()] == list(range(12)), "numbers")


def killed_children_are_gone_too(place):
    """SIGKILL of hpo run alone: its objective must not go on for long."""
    process = started(place, place.run_line(3), 60_000_000, 1)
    process.kill()
    ended(process, -signal.SIGKILL)
    place.wait_for_strays()
    check(not place.strays(), "the objective of a killed hpo run goes on")


def time_limit(place):
    """--timeout stops the objective's whole group, and the trial FAILs."""
    script = place.script("slow", 'if [ "$HPO_TRIAL" = 1 ]; then sleep 1000 & sleep 1000; fi; echo 0.5')
    begin = time.monotonic()
    result = place.run(place.run_line(3, objective=[script], extra=["-v", "--timeout", "0.3"]))
    check([t["state"] for t in place.trials()] == ["complete", "fail", "complete"], lambda: str(result))
    check("0.3 s" in result.err, lambda: f"does not say why: {result}")
    check(time.monotonic() - begin >= 0.3, "stopped before its time")
    place.wait_for_strays()


def attempts(place, ending, expect=0, extra=(), trials=1):
    """Run one trial whose objective ends in some way; how often it was evaluated, and the trials."""
    place.remove(place.marks, place.store)
    script = place.script("ending", f'echo "begin $HPO_TRIAL $$ 0" >> "$OBJECTIVE_MARKS"\n{ending}')
    result = place.run(place.run_line(trials, objective=[script], extra=["-v", *extra]), expect=expect)
    return begin_count(place), place.trials(), result


def interruptions_are_not_results(place):
    """HUP, INT, TERM, KILL, exits 130 and 143: rolled back, run again, four attempts at most."""
    for ending in ("kill -HUP $$", "kill -INT $$", "kill -TERM $$", "kill -KILL $$", "exit 130", "exit 143"):
        count, trials, result = attempts(place, ending)
        check(
            count == 4 and [t["state"] for t in trials] == ["fail"],
            lambda: f"{ending}: {count} attempts, {trials}, {result}",
        )
        check(result.err.count("interrupted") >= 3, lambda: f"{ending}: not said: {result}")
    count, trials, _ = attempts(place, "kill -TERM $$", extra=["--interrupts-max", "0"])
    check(count == 1 and trials[0]["state"] == "fail", f"--interrupts-max 0: {count} attempts")
    for ending in ("kill -SEGV $$", "kill -ABRT $$", "exit 1", "exit 75"):
        count, trials, _ = attempts(place, ending)
        check(count == 1 and trials[0]["state"] == "fail", f"{ending}: {count} attempts, {trials}")
    count, trials, _ = attempts(place, "exit 75", extra=["--interrupt-code", "75"])
    check(count == 4, f"--interrupt-code: {count} attempts")
    # An interruption leaves nothing: the second attempt has the same parameters, seed and directory, emptied.
    place.remove(place.marks, place.store)
    script = place.script(
        "once",
        'echo "$HPO_TRIAL $HPO_SEED $HPO_PARAM_X $HPO_TRIAL_DIR $(ls $HPO_TRIAL_DIR | grep -c rest)" >> seen\n'
        'touch "$HPO_TRIAL_DIR/rest"\nif mkdir "$STOPPED/$HPO_TRIAL" 2>/dev/null; then kill -KILL $$; fi; echo "$HPO_PARAM_X"',
    )
    os.mkdir(place.path("stopped"))
    place.run(place.run_line(3, objective=[script]), env={"STOPPED": place.path("stopped")})
    seen = open(place.path("seen")).read().splitlines()
    check(len(seen) == 6 and seen[0::2] == seen[1::2], f"attempts differ: {seen}")
    check(all(line.endswith(" 0") for line in seen), f"a directory was not fresh: {seen}")
    check(len({line.split()[1] for line in seen}) == 3, f"trials share a seed: {seen}")


def what_becomes_of_failures(place):
    count, trials, _ = attempts(place, "echo a word >&2; exit 7")
    check(count == 1 and trials[0]["state"] == "fail", f"{trials}")
    check(
        "a word" in trials[0]["own_attrs"]["stderr"], f"the last words are not kept: {trials[0]['own_attrs']}"
    )
    count, trials, _ = attempts(place, "exit 7", extra=["--on-fail", "retry=2"])
    check(count == 3 and [t["state"] for t in trials] == ["fail"], f"retry=2: {count} attempts, {trials}")
    count, trials, result = attempts(place, "exit 7", expect=1, extra=["--on-fail", "stop"], trials=5)
    check(
        count == 1 and [t["state"] for t in trials] == ["fail"],
        lambda: f"stop: {count} attempts, {trials}, {result}",
    )
    count, trials, _ = attempts(place, "exit 7", extra=["--on-fail", "penalty=12.5"])
    check(
        count == 1 and trials[0]["state"] == "complete" and trials[0]["values"] == [12.5],
        f"penalty: {trials}",
    )
    attempts_bad = place.run(place.run_line(1, extra=["--on-fail", "shrug"]), expect=2)
    check("shrug" in attempts_bad.err, lambda: str(attempts_bad))


main(
    one_signal_finishes_what_runs,
    two_signals_stop_at_once,
    a_deaf_objective_is_killed,
    four_jobs,
    killed_children_are_gone_too,
    time_limit,
    interruptions_are_not_results,
    what_becomes_of_failures,
)
