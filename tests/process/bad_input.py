#!/usr/bin/python3
"""What a person may get wrong, or meet: each a one-line error that says what to do, the exit code of
the manual, and nothing lost.
"""
import os
import random
import shutil

from harness import FSCK, HELPERS, SEED, SPACE, check, main, one_line, read_marks, scaled


def filled(place, trials=5):
    """A store with a finished search in it; what it holds."""
    place.run(place.run_line(trials))
    return place.trials()


def check_unharmed(place, before):
    check(place.trials() == before, "the study has changed")
    place.fsck()


def unknown_sampler(place):
    line = place.run_line(3)
    line[line.index("random")] = "randon"
    one_line(place.run(line, expect=2), "randon", "random")
    check(not read_marks(place.marks), "an objective ran")


def bad_space(place):
    for text, words in {
        "x=float(1,0)": ["x"],
        "x=float(0,1": ["x"],
        "x=flaot(0,1)": ["flaot"],
        "x=float(0,1,log)": ["x", "log"],
        "x=int(0.5,2)": ["x"],
        "x=choice()": ["x"],
        "x=float(0,nan)": ["x"],
        "=float(0,1)": ["name|="],
        "x": ["x"],
    }.items():
        one_line(
            place.run(place.run_line(1, space=["--param", text], objective=["true", "{x}"]), expect=2), *words
        )
    one_line(
        place.run(
            place.run_line(1, space=["--param", "x=int(0,1)", "--param", "x=int(0,2)"], objective=["true"]),
            expect=2,
        ),
        "x",
    )
    one_line(place.run(place.run_line(1, objective=["true", "{y}"]), expect=2), "y")
    check(
        not os.path.exists(place.store) or not place.hpo("studies", "-s", place.store, "--jsonl").jsonl(),
        "a study came into being",
    )


def no_command(place):
    check(
        place.hpo("run", "-s", place.store, "--study", "s", "--trials", "1", *SPACE, expect=2).err.startswith(
            "hpo run: "
        ),
        "no message",
    )
    check(place.hpo("frobnicate", expect=2).err.count("frobnicate") == 1, "the unknown command is not named")
    check("HPO_STORE" in place.hpo("studies", expect=2).err, "does not say how to name a store")


def nan_result(place):
    script = place.script("nan", 'if [ "$HPO_TRIAL" = 1 ]; then echo nan; else echo 0.5; fi')
    result = place.run(place.run_line(3, objective=[script], extra=["-v"]))
    states = [trial["state"] for trial in place.trials()]
    check(states == ["complete", "fail", "complete"], f"states are {states}")
    lines = [line for line in result.err.splitlines() if "nan" in line.lower()]
    check(len(lines) == 1 and "trial 1" in lines[0], lambda: f"expected one line about NaN: {result}")


def no_result(place):
    script = place.script("silent", 'echo "no number here"')
    result = place.run(place.run_line(2, objective=[script], extra=["-v"]))
    check(
        [trial["state"] for trial in place.trials()] == ["fail", "fail"],
        "a trial without a value is not FAIL",
    )
    check("trial 0 fail" in result.err, lambda: str(result))


def objective_that_cannot_be_executed(place):
    before = filled(place)
    plain = place.path("plain")
    with open(plain, "w") as file:
        file.write("#!/bin/sh\necho 1\n")
    for program, words in {
        plain: ["plain", "permission|executable"],
        place.path("absent"): ["absent", "no such file|not found"],
        "no-such-program": ["no-such-program"],
        place.dir: ["."],
    }.items():
        result = place.run(place.run_line(7, objective=[program]), expect=1)
        one_line(result, *words)
    interpreter = place.script("interpreter", "")
    with open(interpreter, "w") as file:
        file.write("#!/no/such/interpreter\n")
    one_line(place.run(place.run_line(7, objective=[interpreter]), expect=1), "interpreter")
    after = place.trials()
    check(
        [t for t in after if t["state"] != "waiting"] == before,
        f"trials came into being: {after[len(before):]}",
    )
    # The trial was rolled back, not counted: a working objective gets its number and parameters.
    place.run(place.run_line(7))
    whole = place.path("whole.hpo")
    place.run(place.run_line(7, store=whole))
    place.diff(whole)
    place.fsck()


def missing_store_or_study(place):
    one_line(place.hpo("studies", "-s", place.store, expect=3), "s.hpo")
    check(not os.path.exists(place.store), "a reading command made a store")
    filled(place)
    for command in (
        ["show"],
        ["trials"],
        ["best"],
        ["trial", None, "0"],
        ["tell", None, "0", "1"],
        ["ask"],
        ["abandon", None, "0"],
    ):
        name, rest = command[0], [word or "nosuch" for word in command[1:]] or ["nosuch"]
        one_line(place.hpo(name, "-s", place.store, *rest, expect=3), "nosuch")
    one_line(place.hpo("trial", "-s", place.store, "s", "99", expect=3), "99")
    one_line(place.run([FSCK, place.path("absent")], expect=8), "absent")


def not_a_store(place):
    path = place.path("plain")
    with open(path, "w") as file:
        file.write("hello\n")
    one_line(place.hpo("studies", "-s", path, expect=None), "plain")
    check(place.hpo("studies", "-s", path, expect=None).status in (1, 3), "exit code")
    os.mkdir(place.path("directory"))
    with open(place.path("directory", "precious"), "w") as file:
        file.write("mine\n")
    one_line(place.hpo("studies", "-s", place.path("directory"), expect=3), "directory")
    check(os.listdir(place.path("directory")) == ["precious"], "a foreign directory was written to")


def damaged_store(place):
    """One bit in what was flushed: exit 4, with file, offset and the command to run; reading works up to it."""
    before = filled(place, trials=20)
    segments = sorted(n for n in os.listdir(os.path.join(place.store, "wal")) if n.endswith(".wal"))
    segment = os.path.join(place.store, "wal", segments[0])
    at = 4096 + 512 * 6 + 100
    with open(segment, "r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))
    line = one_line(place.run(place.run_line(30), expect=4), "hpo-fsck", segments[0])
    check(str(at // 512 * 512) in line or hex(at // 512 * 512)[2:] in line.lower(), f"no offset: {line}")
    one_line(place.hpo("trials", "-s", place.store, "s", "--jsonl", expect=4), "hpo-fsck", segments[0])
    readable = place.hpo("trials", "-s", place.store, "s", "--jsonl", expect=4).jsonl()
    by_number = {trial["number"]: trial for trial in before}
    for trial in readable:
        check(trial["state"] == "running" or trial == by_number[trial["number"]], f"different data: {trial}")
    check(0 < len(readable) < 20, f"{len(readable)} of 20 trials readable up to the damage")
    check(place.run([FSCK, "--full", place.store], expect=4).out, "hpo-fsck says nothing")
    with open(segment, "r+b") as file:
        file.seek(at)
        file.write(byte)
    check_unharmed(place, before)


def newer_version(place):
    before = filled(place)
    shutil.copytree(place.store, place.path("copy.hpo"))

    def changed(how):
        place.remove(place.store)
        shutil.copytree(place.path("copy.hpo"), place.store)
        place.run([os.path.join(HELPERS, "newer"), place.store, how])

    for how in ("major", "incompat"):
        changed(how)
        one_line(place.run(place.run_line(9), expect=1), "newer|version")
        one_line(place.hpo("trials", "-s", place.store, "s", expect=1), "newer|version")
        # "could not check", not "damaged": nothing is wrong with it.
        one_line(place.run([FSCK, place.store], expect=8), "newer|version")
    changed("ro_compat")
    check(place.trials() == before, "a store that may be read cannot be read")
    one_line(place.run(place.run_line(9), expect=1), "newer|version|read")
    for how in ("minor", "compat"):
        changed(how)
        place.run(place.run_line(9))
        check(place.trials()[:5] == before, "trials changed")


def network_file_system(place):
    preload = {
        "LD_PRELOAD": os.path.join(HELPERS, "network_fs.so"),
        "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0",
    }
    for magic, name in {"0x6969": "nfs", "0xff534d42": "cifs", "0x01021997": "9p|v9fs"}.items():
        env = {**preload, "NETWORK_FS_MAGIC": magic}
        one_line(place.run(place.run_line(3), env=env, expect=1), f"network|{name}")
        check(not os.path.exists(os.path.join(place.store, "FORMAT")), "a store was made there")
    before = filled(place)
    one_line(place.run(place.run_line(9), env=preload, expect=1), "network|nfs")
    check_unharmed(place, before)
    env = {**preload, "NETWORK_FS_MAGIC": "0xEF53"}  # ext4: proves that the magic decides, not the preloading
    place.run(place.run_line(6), env=env)


def no_wait_on_a_busy_store(place):
    """--no-wait meets somebody who is recovering: exit 75. Here a lock holder plays the one who recovers."""
    filled(place)
    import fcntl
    import struct

    with open(os.path.join(place.store, "lock"), "r+b") as file:
        # struct flock of 64-bit Linux: type, whence, start, length, pid; byte 0 is ALIVE.
        F_OFD_SETLK = 37
        fcntl.fcntl(file.fileno(), F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 1, 0))
        one_line(place.run(place.run_line(9, extra=["--no-wait"]), expect=75))
        one_line(place.hpo("trials", "-s", place.store, "s", "--no-wait", expect=75))
        check(len(place.trials()) == 5, "reading does not work meanwhile")
    place.run(place.run_line(9, extra=["--no-wait"]))


def damage(rng, path, how):
    size = os.path.getsize(path)
    if how == "gone":
        os.unlink(path)
        return
    with open(path, "r+b") as file:
        if how == "empty":
            file.truncate(0)
        elif how == "cut":
            file.truncate(rng.randrange(size + 1))
        elif how == "bit":
            # Of a segment, a place that is in use, or near one.
            at = rng.randrange(min(size, 16384))
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ 1 << rng.randrange(8)]))
        else:
            file.seek(rng.randrange(min(size, 16384)))
            file.write(rng.randbytes(rng.randrange(1, 600)))


def damage_anywhere_is_answered(place):
    """Whatever happens to a file of the store: hpo and hpo-fsck end with an exit code of theirs, and what they
    show is the same data or a prefix of it, never other data."""
    rng = random.Random(SEED)
    before = filled(place)
    shutil.copytree(place.store, place.path("copy.hpo"))
    files = [os.path.join(folder, name) for folder, _, names in os.walk(place.store) for name in names]
    files = [path for path in files if os.path.getsize(path)]
    check(len(files) >= 4, f"only {files}")
    answers = {}
    cases = [(path, how) for path in files for how in ("gone", "empty", "cut", "random", "bit")]
    cases += [
        (rng.choice(files), rng.choice(("cut", "random", "bit", "bit"))) for _ in range(scaled(400, 10))
    ]
    for number, (path, how) in enumerate(cases):
        place.remove(place.store)
        shutil.copytree(place.path("copy.hpo"), place.store)
        damage(rng, path, how)
        where = f"case {number} of seed {SEED}: {how} {os.path.relpath(path, place.store)}"
        looked = place.hpo("trials", "-s", place.store, "s", "--jsonl", expect=None)
        check(looked.status in (0, 1, 3, 4), lambda: f"{where}: {looked}")
        if looked.status == 0:
            check(looked.jsonl() == before, lambda: f"{where}: different data: {looked}")
        checked = place.run([FSCK, "--full", place.store], expect=None)
        check(checked.status in (0, 4, 8, 12), lambda: f"{where}: {checked}")
        ran = place.run(place.run_line(6), expect=None)
        check(ran.status in (0, 1, 3, 4), lambda: f"{where}: {ran}")
        if ran.status == 0:
            check(place.trials()[:5] == before, f"{where}: different data after a run")
        if 4 in (looked.status, ran.status):
            check(checked.status & 4, lambda: f"{where}: refused, but hpo-fsck finds nothing: {checked}")
        answers[looked.status, checked.status, ran.status] = (
            answers.get((looked.status, checked.status, ran.status), 0) + 1
        )
    told = ", ".join(f"{n} x {key}" for key, n in sorted(answers.items()))
    print(
        f"  {len(cases)} damaged stores; exit codes of (hpo trials, hpo-fsck, hpo run): {told}; different data: 0"
    )


main(
    unknown_sampler,
    bad_space,
    no_command,
    nan_result,
    no_result,
    objective_that_cannot_be_executed,
    missing_store_or_study,
    not_a_store,
    damaged_store,
    newer_version,
    network_file_system,
    no_wait_on_a_busy_store,
    damage_anywhere_is_answered,
)
