#!/usr/bin/env bash
# The demo behind `make demo`: one search undisturbed, the same search killed again and again, and the comparison.
# Usage: demo.sh BUILD_DIR [SEED_OF_THE_KILLS]
# Exits non-zero if the two studies differ in anything, if the store is not sound, or if too few kills hit.
set -euo pipefail
build=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
kill_seed=${2:-$((SRANDOM % 32768))}
trials=120
kills=9
export PATH="$build/tools:$PATH"
unset HPO_STORE

dir=$(mktemp -d "${TMPDIR:-/tmp}/hpo-demo.XXXXXX")
pid=
trap '[ -z "$pid" ] || strike group || true; rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM

say() { printf '%s\n' "$*"; }
# A random while, a tenth of the whole search on average: the last kill falls before the search ends.
pause() {
    local ms=$((took * (RANDOM % 150 + 25) / 1000))
    sleep "$((ms / 1000)).$(printf '%03d' $((ms % 1000)))"
}
now_ms() { echo $(($(date +%s%N) / 1000000)); }
# SIGKILL to one of: objective, parent (hpo run itself), group (everything). Fails if there was nobody to kill.
strike() {
    local victims
    case $1 in
    objective) victims=$(pgrep -P "$pid" size.sh) || return 1 ;;
    parent) victims=$pid ;;
    group) victims=$(pgrep -s "$pid") || return 1 ;;
    esac
    # shellcheck disable=SC2086
    kill -KILL $victims 2>/dev/null
}
start() { # a session of its own, so that "group" above means this search and nobody else
    setsid "$here/search.sh" "$dir/killed.hpo" "$dir/file" $trials 1 -q 2>>"$dir/stderr" &
    pid=$!
}
alive() { kill -0 "$pid" 2>/dev/null; }
finished() { hpo trials -s "$dir/killed.hpo" zstd --state complete --jsonl 2>/dev/null | wc -l; }

# A file that every Debian has: the licence texts, each once.
find /usr/share/common-licenses -type f -print0 | LC_ALL=C sort -z | xargs -0 cat >"$dir/file"
level19=$(zstd -19 -q -c --single-thread --no-check "$dir/file" | wc -c)
say "The file: the licence texts in /usr/share/common-licenses, $(stat -c %s "$dir/file") bytes; zstd -19 makes $level19 of it."
say ""
say "1. The search undisturbed: $trials trials of seven parameters."
begin=$(now_ms)
"$here/search.sh" "$dir/whole.hpo" "$dir/file" $trials 1 -q
took=$(($(now_ms) - begin))
say "   done in $took ms"

say ""
say "2. The same search, killed with SIGKILL $kills times (seed of the instants: $kill_seed)," \
    "each time started again by the same command."
RANDOM=$kill_seed
targets=(parent objective group)
hits=0
start
while [ $hits -lt $kills ]; do
    pause
    alive || break
    target=${targets[hits % 3]}
    strike "$target" || continue # between two objectives: try another instant
    hits=$((hits + 1))
    case $target in
    objective) say "   kill $hits: the objective; hpo run rolls its trial back and tries again" ;;
    *)
        wait "$pid" 2>/dev/null || true
        [ "$target" = parent ] && what="hpo run" || what="hpo run and its objective"
        say "   kill $hits: $what; $(finished) complete trials are safe; starting again"
        start
        ;;
    esac
done
status=0
wait "$pid" || status=$?
pid=
if [ $status != 0 ]; then
    say "FAILED: hpo run ended with $status:"
    cat "$dir/stderr"
    exit 1
fi
say "   finished after $hits kills"
[ $hits -ge 3 ] || { say "FAILED: the search was over before three kills could hit"; exit 1; }

say ""
say "3. Are the two the same study?"
failed=0
if hpo diff -s "$dir/whole.hpo" zstd --other-store "$dir/killed.hpo" zstd >"$dir/diff" 2>&1; then
    say "   identical: every trial, state, parameter, value and attribute of $trials trials"
else
    say "   DIFFERENT:"
    cat "$dir/diff"
    failed=1
fi
for store in whole killed; do
    if hpo-fsck --full "$dir/$store.hpo" >"$dir/fsck" 2>&1; then
        say "   sound: hpo-fsck --full finds nothing wrong with the store ($store)"
    else
        say "   NOT SOUND ($store):"
        cat "$dir/fsck"
        failed=1
    fi
done

say ""
best=$(hpo best -s "$dir/killed.hpo" zstd)
bytes=${best%%[!0-9]*}
if [ "$bytes" -lt "$level19" ]; then
    say "4. What it found: $((level19 - bytes)) bytes less than zstd -19"
else
    say "4. What it found: no better than zstd -19, $((bytes - level19)) bytes more"
fi
say "   $best"
rm -rf "$dir"
trap - EXIT
exit $failed
