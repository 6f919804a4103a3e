#!/usr/bin/python3
"""Full disk and missing permissions, for real: a small tmpfs of our own, directories without rights.

The tmpfs is mounted in a mount namespace of our own (unshare), so that it goes away with us however we
end. Where that is not allowed, the tests say so and are skipped (77).
"""
import contextlib
import os
import subprocess
import sys

from harness import FSCK, HPO, Skipped, acknowledged, check, main, one_line


def enter_namespace():
    """Start over inside a mount namespace; as root of a user namespace if we are not root."""
    if os.environ.get("HPO_NO_ROOM_INSIDE"):
        return
    flags = ["--mount"] if os.geteuid() == 0 else ["--mount", "--map-root-user"]
    probe = ["unshare", *flags, "mount", "-t", "tmpfs", "none", "/mnt"]
    inside = subprocess.run(probe, capture_output=True).returncode == 0
    os.environ["HPO_NO_ROOM_INSIDE"] = "yes" if inside else "no"
    if inside:
        os.execvp("unshare", ["unshare", *flags, "--", sys.executable, *sys.argv])


@contextlib.contextmanager
def small_disk(place, size):
    if os.environ["HPO_NO_ROOM_INSIDE"] != "yes":
        raise Skipped("no right to mount a tmpfs")
    disk = place.path("disk")
    os.mkdir(disk)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", disk], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def remount(disk, options):
    # Only these options: those of a mount in a user namespace cannot all be given again (uid, gid).
    subprocess.run(
        ["mount", "--options-mode", "ignore", "-t", "tmpfs", "-o", f"remount,{options}", "none", disk],
        check=True,
    )


def no_room_for_a_store(place):
    with small_disk(place, "64k") as disk:
        store = os.path.join(disk, "s.hpo")
        line = place.run_line(3, store=store, extra=["--work-dir", place.path("work")])
        one_line(place.run(line, expect=1), "space|full")
        remount(disk, "size=8m")
        place.run(line)
        check(len(place.trials(store=store)) == 3, "trials missing")


def disk_fills_during_a_search(place):
    """Everything acknowledged stays; with room again, the same command line ends in the same study."""
    # Long reports fill the log quickly.
    talk = place.script(
        "talk",
        """seq 300 | sed 's/.*/report & 0.&/' >&"$HPO_RESULT_FD"
echo "$1" """,
    )
    whole = place.path("whole.hpo")
    place.run(place.run_line(60, store=whole, objective=[talk, "{x}"]))
    with small_disk(place, "1m") as disk:
        store = os.path.join(disk, "s.hpo")
        line = place.run_line(
            60, store=store, objective=[talk, "{x}"], extra=["-v", "--work-dir", place.path("work")]
        )
        full = place.run(line, expect=1)
        acks = acknowledged(full.err)
        check(acks, lambda: f"nothing was acknowledged before the disk was full: {full}")
        plain = [
            text
            for text in full.err.splitlines()
            if not text.startswith("hpo run: trial ") and "same command line" not in text
        ]
        check(
            len(plain) == 1 and ("space" in plain[0] or "full" in plain[0]),
            f"not one line about the full disk: {plain}",
        )
        trials = {trial["number"]: trial for trial in place.trials(store=store)}
        for number, (state, value) in acks.items():
            check(number in trials, f"acknowledged trial {number} is lost")
            check(
                trials[number]["state"] == state and trials[number]["values"] == [float(value)],
                f"acknowledged trial {number}: {trials[number]}",
            )
        place.fsck(store)
        one_line(place.run([word for word in line if word != "-v"], expect=1), "space|full")
        remount(disk, "size=64m")
        place.run(line)
        place.diff(store, store=whole)
        place.fsck(store)
        print(f"  full after {len(acks)} of 60 trials")


def without_override(args):
    """The command without root's right to override permissions (as anybody else: as it is)."""
    if os.geteuid() != 0:
        return args
    rights = "-dac_override,-dac_read_search"
    drop = ["setpriv", "--bounding-set", rights, "--inh-caps", rights]
    if subprocess.run([*drop, "true"], capture_output=True).returncode != 0:
        raise Skipped("root may not give up its rights here (setpriv)")
    return [*drop, *args]


def lock_up(path, directory_mode, file_mode):
    for folder, _, names in os.walk(path, topdown=False):
        for name in names:
            os.chmod(os.path.join(folder, name), file_mode)
        os.chmod(folder, directory_mode)


def read_only_directory(place):
    """No store can be made there; one that is there can be read, not written."""
    os.mkdir(place.path("locked"))
    os.chmod(place.path("locked"), 0o555)
    one_line(
        place.run(without_override(place.run_line(3, store=place.path("locked", "s.hpo"))), expect=1),
        "permission",
    )
    check(os.listdir(place.path("locked")) == [], "something was made there")
    place.run(place.run_line(5))
    before = place.trials()
    lock_up(place.store, 0o555, 0o444)
    one_line(place.run(without_override(place.run_line(9)), expect=1), "permission")
    seen = place.run(without_override([HPO, "trials", "-s", place.store, "s", "--jsonl"])).jsonl()
    check(seen == before, "a read-only store reads differently")
    place.run(without_override([FSCK, "--full", place.store]))
    lock_up(place.store, 0o755, 0o644)
    place.run(place.run_line(6))
    check(place.trials()[:5] == before, "trials changed")


def read_only_mount(place):
    with small_disk(place, "8m") as disk:
        store = os.path.join(disk, "s.hpo")
        work = ["--work-dir", place.path("work")]
        place.run(place.run_line(5, store=store, extra=work))
        before = place.trials(store=store)
        remount(disk, "ro")
        one_line(place.run(place.run_line(9, store=store, extra=work), expect=1), "read-only|permission")
        check(place.trials(store=store) == before, "a store on a read-only mount reads differently")
        place.fsck(store)


def unreadable_store(place):
    place.run(place.run_line(5))
    before = place.trials()
    for target in (place.store, os.path.join(place.store, "FORMAT"), os.path.join(place.store, "wal")):
        mode = os.stat(target).st_mode
        os.chmod(target, 0)
        one_line(place.run(without_override([HPO, "trials", "-s", place.store, "s"]), expect=1), "permission")
        one_line(place.run(without_override(place.run_line(9)), expect=1), "permission")
        os.chmod(target, mode)
    check(place.trials() == before, "trials changed")
    place.fsck()


enter_namespace()
main(no_room_for_a_store, disk_fills_during_a_search, read_only_directory, read_only_mount, unreadable_store)
