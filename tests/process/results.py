#!/usr/bin/python3
"""What `hpo run` gives the objective and what it takes from it: placeholders, environment, spaces, the
forms of a result, several objectives, intermediate values.
"""
import json
import os

from harness import check, main, one_line


def run_script(place, body, trials=1, expect=0, study="s", space=None, extra=(), args=()):
    script = place.script("objective-" + study, body)
    return place.run(
        place.run_line(trials, study=study, space=space, extra=extra, objective=[script, *args]),
        expect=expect,
    )


def values(place, study="s"):
    return [trial["values"] for trial in place.trials(study)]


def last_number_wins(place):
    for i, (body, value) in enumerate(
        {
            "echo 1; echo 2": 2,
            "echo 3; echo done": 3,
            'echo "  4.5  "': 4.5,
            "echo -7e-3; echo": -7e-3,
            "echo loss 9; echo 5": 5,
            "printf 6": 6,
            "echo 8; echo 9 >&2": 8,
            "echo +2.5": 2.5,
            "echo 1e400": float("inf"),
            "echo -inf": float("-inf"),
            "echo 0.1": 0.1,
            "seq 1 20000": 20000,
            'echo 2; head -c 300000 /dev/zero | tr "\\0" x; echo': 2,
        }.items()
    ):
        run_script(place, body, study=f"s{i}")
        found = values(place, f"s{i}")
        check([[float(v) for v in row] for row in found] == [[value]], f"{body}: {found}")


def result_by_key(place):
    run_script(place, "echo loss=0.25; echo acc=0.9; echo 77", extra=["--result", "loss"])
    check(values(place) == [[0.25]], values(place))
    run_script(place, 'echo loss=3; echo "loss = 2"; echo loss=1', study="last", extra=["--result", "loss"])
    check(values(place, "last") == [[1]], values(place, "last"))
    result = run_script(place, "echo acc=0.9", study="none", extra=["--result", "loss", "-v"])
    check(place.trials("none")[0]["state"] == "fail" and "loss" in result.err, lambda: str(result))


def result_by_descriptor(place):
    run_script(
        place,
        """echo 99; echo '{"value": 0.125, "attrs": {"epochs": 7, "note": "a b"}}' >&"$HPO_RESULT_FD" """,
    )
    [trial] = place.trials()
    check(trial["values"] == [0.125], trial)
    check(trial["attrs"] == {"epochs": 7, "note": "a b"}, trial["attrs"])
    run_script(place, """echo 99; echo 0.5 >&"$HPO_RESULT_FD" """, study="number")
    check(values(place, "number") == [[0.5]], values(place, "number"))
    result = run_script(
        place, """echo 99; echo '{"value": ' >&"$HPO_RESULT_FD" """, study="broken", extra=["-v"]
    )
    check(place.trials("broken")[0]["state"] == "fail" and result.err, lambda: str(result))


def several_objectives(place):
    both = ["--direction", "minimize", "--direction", "maximize"]
    run_script(place, """echo "[0.5, $HPO_TRIAL]" >&"$HPO_RESULT_FD" """, trials=2, extra=both)
    check(values(place) == [[0.5, 0], [0.5, 1]], values(place))
    front = place.hpo("best", "-s", place.store, "s", "--json").json()
    check("1" in json.dumps(front), front)
    run_script(place, """echo '{"values": [1, 2]}' >&"$HPO_RESULT_FD" """, study="object", extra=both)
    check(values(place, "object") == [[1, 2]], values(place, "object"))
    run_script(place, "echo a=1; echo b=2", study="keys", extra=[*both, "--result", "a", "--result", "b"])
    check(values(place, "keys") == [[1, 2]], values(place, "keys"))
    result = run_script(place, """echo '[1]' >&"$HPO_RESULT_FD" """, study="few", extra=[*both, "-v"])
    check(place.trials("few")[0]["state"] == "fail" and result.err, lambda: str(result))


def intermediate_values(place):
    run_script(
        place,
        """for i in 3 1 2; do echo "report $i 0.$i"; done >&"$HPO_RESULT_FD"
echo "report 2 0.25" >&"$HPO_RESULT_FD"; echo "report 9 nan" >&"$HPO_RESULT_FD"; echo 1""",
    )
    check(
        place.trials()[0]["reports"] == [[3, 0.3], [1, 0.1], [2, 0.25], [9, "nan"]],
        place.trials()[0]["reports"],
    )
    # Visible while the trial runs.
    script = place.script(
        "look",
        """echo "report 1 0.5" >&"$HPO_RESULT_FD"; i=0
until hpo trials -s "$STORE" live --state running --jsonl | grep -q '0.5' || [ $i -gt 200 ]; do sleep 0.02; i=$((i + 1)); done
test $i -le 200 && echo 1""",
    )
    place.run(place.run_line(1, study="live", objective=[script]), env={"STORE": place.store})
    check(place.trials("live")[0]["state"] == "complete", "a report was not seen while its trial ran")


def many_reports_do_not_block(place):
    """More than any pipe holds, and chatter besides."""
    run_script(
        place,
        """seq 1 30000 | sed 's/.*/report & 0.5/' >&"$HPO_RESULT_FD"; seq 1 30000; seq 1 30000 >&2; echo 1""",
    )
    [trial] = place.trials()
    check(trial["values"] == [1] and len(trial["reports"]) == 30000, f"{len(trial['reports'])} reports")


def placeholders_and_environment(place):
    space = [
        "--param",
        "lr=float(1e-5,1e-1,log)",
        "--param",
        "depth=int(2,12)",
        "--param",
        "act=choice(relu,tanh)",
        "--param",
        "half=float(0,1,step=0.5)",
        "--param",
        "width=int(8,512,log)",
        "--param",
        "odd=int(1,9,step=2)",
    ]
    run_script(
        place,
        """set -e
[ "$1" = "--lr" ]; [ "$2" = "$HPO_PARAM_LR" ]
[ "$3" = "net:$HPO_PARAM_DEPTH:$HPO_PARAM_ACT" ]; [ "$4" = "$HPO_PARAM_LR$HPO_PARAM_LR" ]
[ "$5" = "{}" ]; [ "$6" = "it's \\$HOME; *" ]
[ "$HPO_TRIAL_DIR" != "" ]; [ -d "$HPO_TRIAL_DIR" ]; [ "$HPO_SEED" != "" ]
echo "$HPO_PARAM_LR $HPO_PARAM_DEPTH $HPO_PARAM_ACT $HPO_PARAM_HALF $HPO_PARAM_WIDTH $HPO_PARAM_ODD" >> "$OBJECTIVE_MARKS"
echo "$HPO_TRIAL" """,
        trials=25,
        space=space,
        args=["--lr", "{lr}", "net:{depth}:{act}", "{lr}{lr}", "{{}}", "it's $HOME; *"],
    )
    trials = place.trials()
    check([t["values"] for t in trials] == [[n] for n in range(25)], lambda: f"{trials[0]}")
    with open(place.marks) as file:
        rows = [line.split() for line in file]
    for trial, (lr, depth, act, half, width, odd) in zip(trials, rows):
        p = trial["params"]
        check(
            [float(lr), int(depth), act, float(half), int(width), int(odd)]
            == [p["lr"], p["depth"], p["act"], p["half"], p["width"], p["odd"]],
            f"what the objective got is not what is stored: {p}",
        )
        check(
            1e-5 <= p["lr"] <= 1e-1
            and 2 <= p["depth"] <= 12
            and p["half"] in (0, 0.5, 1)
            and 8 <= p["width"] <= 512
            and p["odd"] in (1, 3, 5, 7, 9)
            and p["act"] in ("relu", "tanh"),
            f"out of its space: {p}",
        )
    check(
        len({row[0] for row in rows}) == 25 and {row[2] for row in rows} == {"relu", "tanh"},
        "values do not vary",
    )


def work_directory(place):
    run_script(
        place,
        'echo "$HPO_TRIAL" > "$HPO_TRIAL_DIR/model"; echo 1',
        trials=2,
        extra=["--work-dir", place.path("work")],
    )
    models = sorted(
        os.path.join(folder, name)
        for folder, _, names in os.walk(place.path("work"))
        for name in names
        if name == "model"
    )
    check([open(path).read() for path in models] == ["0\n", "1\n"], models)
    check(not os.path.exists(place.store + ".trials"), "the default directory was made as well")
    run_script(place, "echo 1", study="default")
    check(os.path.isdir(place.store + ".trials"), "no default directory beside the store")


def space_from_a_file(place):
    path = place.path("space.json")
    run_script(place, "echo 1", space=["--param", "t=choice(relu,2)"], study="text")
    check(place.trials("text")[0]["params"]["t"] in ("relu", "2"), "choice() makes strings")
    with open(path, "w") as file:
        json.dump(
            {
                "lr": {"type": "float", "low": 1e-5, "high": 0.1, "log": True},
                "n": {"type": "int", "low": 1, "high": 9, "step": 2},
                "c": {"type": "choice", "choices": [None, True, 2, 0.5, "two"]},
            },
            file,
        )
    result = run_script(place, 'echo "$1"', trials=20, space=["--space", path], args=["{n}"])
    seen = [trial["params"]["c"] for trial in place.trials()]
    kinds = {type(value) for value in seen}
    check(kinds <= {type(None), bool, int, float, str} and len(kinds) >= 4, f"{seen}: {result}")
    with open(path, "w") as file:
        file.write('{"lr": {"type": "float", "low": 1}}')
    one_line(run_script(place, "echo 1", study="bad", space=["--space", path], expect=2), "lr", "high")
    with open(path, "w") as file:
        file.write('{"lr": ')
    one_line(run_script(place, "echo 1", study="bad", space=["--space", path], expect=2), "space.json")


main(
    last_number_wins,
    result_by_key,
    result_by_descriptor,
    several_objectives,
    intermediate_values,
    many_reports_do_not_block,
    placeholders_and_environment,
    work_directory,
    space_from_a_file,
)
