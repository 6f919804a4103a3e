#!/bin/sh
# run.sh BUILD SECONDS [TARGET...]: each fuzz target for SECONDS. Exit 1 if one found something; the input lies in
# BUILD/found then.
set -u
build=$1 seconds=$2
shift 2
tree=$(dirname "$0")
[ $# -gt 0 ] || set -- format sector_scan record fold snapshot fsck
failed=
mkdir -p "$build/found"
for target; do
    mkdir -p "$build/corpus/$target"
    log=$build/found/$target.log
    "$build/fuzz/fuzz_$target" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=512 -max_len=8192 -use_value_profile=1 \
        -print_final_stats=1 -artifact_prefix="$build/found/$target-" "$build/corpus/$target" \
        "$tree/corpus/$target" >"$log" 2>&1 || failed="$failed $target"
    printf '%-12s %s executions, %s inputs kept, %s\n' "$target" \
        "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" "$(ls "$build/corpus/$target" | wc -l)" \
        "$(sed -n 's/.*\(cov: [0-9]*\).*/\1/p' "$log" | tail -1)"
done
[ -z "$failed" ] || { echo "found something:$failed (see $build/found)"; exit 1; }
