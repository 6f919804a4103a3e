#!/usr/bin/python3
"""examples/embed, built by its own CMakeLists against an installed copy of the library; run, killed,
resumed; and its data against what is published about them.
"""
import os
import random
import re
import subprocess
import time

from harness import HPO, SEED, check, kill_all, main, scaled

SOURCE = os.environ["HPO_SOURCE"]
BUILD = os.environ["HPO_BUILD"]
TRIALS = 40


def the_data_are_fishers(place):
    """Counts and means as published (R: summary(iris), and colMeans by Species); two flowers tell Fisher's
    table from UCI's."""
    with open(os.path.join(SOURCE, "examples/embed/iris.csv")) as file:
        rows = [line.split(",") for line in file.read().splitlines()[1:]]
    check(len(rows) == 150, f"{len(rows)} rows")
    means = {
        None: (5.843333, 3.057333, 3.758, 1.199333),
        "setosa": (5.006, 3.428, 1.462, 0.246),
        "versicolor": (5.936, 2.770, 4.260, 1.326),
        "virginica": (6.588, 2.974, 5.552, 2.026),
    }
    for species, published in means.items():
        group = [row for row in rows if species in (None, row[4])]
        check(len(group) == (50 if species else 150), f"{len(group)} of {species}")
        for column, mean in enumerate(published):
            found = sum(float(row[column]) for row in group) / len(group)
            check(abs(found - mean) < 1e-6, f"mean of column {column} of {species} is {found}, not {mean}")
    check(
        rows[34][:4] == ["4.9", "3.1", "1.5", "0.2"] and rows[37][:4] == ["4.9", "3.6", "1.4", "0.1"],
        "UCI's errors",
    )


def built_against_the_installed_library(place):
    prefix, build = place.path("prefix"), place.path("build")
    flags = [
        "-DCMAKE_C_COMPILER=" + os.environ["HPO_C_COMPILER"],
        "-DCMAKE_C_FLAGS=" + os.environ.get("HPO_C_FLAGS", ""),
    ]
    place.run(["cmake", "--install", BUILD, "--prefix", prefix])
    place.run(
        [
            "cmake",
            "-S",
            os.path.join(SOURCE, "examples/embed"),
            "-B",
            build,
            "-DCMAKE_PREFIX_PATH=" + prefix,
            "-DCMAKE_BUILD_TYPE=RelWithDebInfo",
            *flags,
        ]
    )
    place.run(["cmake", "--build", build])
    program = os.path.join(build, "iris-tune")
    linked = place.run(["ldd", program]).out
    check(
        f"{prefix}/" in next(line for line in linked.splitlines() if "libhpo" in line),
        f"not the installed library: {linked}",
    )

    whole = place.path("whole.hpo")
    begin = time.monotonic()
    last = place.run([program, whole, str(TRIALS)]).out.splitlines()[-1]
    length_s = time.monotonic() - begin
    match = re.match(
        r"best is trial \d+ with loss ([0-9.]+): learning_rate=.* l2=.* hidden=.* activation=(tanh|relu)$",
        last,
    )
    check(match, f"last line: {last}")
    check(float(match.group(1)) < 0.12, f"a network that has not learnt: {last}")

    rng = random.Random(SEED)
    cases, hits = scaled(20, least=3), 0
    for case in range(cases):
        store = place.path(f"killed{case}.hpo")
        for _ in range(3):
            process = place.start([program, store, str(TRIALS)], stdout=subprocess.PIPE, text=True)
            time.sleep(rng.uniform(0, length_s / 3))
            hits += process.poll() is None and kill_all([process.pid])
            printed = process.communicate()[0]
            safe = {int(number) for number in re.findall(r"^trial +(\d+) .*\n", printed, re.MULTILINE)}
            if safe:
                stored = {
                    t["number"] for t in place.trials("iris", store) if t["state"] in ("complete", "fail")
                }
                check(safe <= stored, f"case {case} of seed {SEED}: printed trials {safe - stored} are lost")
        check(
            place.run([program, store, str(TRIALS)]).out.splitlines()[-1] == last,
            f"case {case} of seed {SEED}: another best",
        )
        same = place.run([HPO, "diff", "-s", whole, "iris", "--other-store", store, "iris"], expect=None)
        check(same.status == 0, lambda: f"case {case} of seed {SEED}: {same}")
        place.fsck(store)
    check(hits, "no kill hit")
    print(f"  {last}\n  {hits} kills in {cases} searches of {length_s:.2f} s; studies that differ: 0")

    # The comparison can fail.
    place.run([program, place.path("short.hpo"), str(TRIALS - 1)])
    place.run([HPO, "diff", "-s", whole, "iris", "--other-store", place.path("short.hpo"), "iris"], expect=1)
    missing = place.run([program, place.path("x.hpo"), "1", place.path("absent")], expect=1)
    check(missing.err.count("\n") == 1 and "absent" in missing.err, str(missing))


main(the_data_are_fishers, built_against_the_installed_library)
