#!/usr/bin/env bash
# Every benchmark once, each printing its ratios. Usage: run.sh BUILD_DIR
set -u
build=$1
echo "machine: $(uname -srm), $(nproc) cores, $(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2 | sed 's/^ //')"
echo "compiler: $(cc --version | head -n 1); commit $(git rev-parse --short HEAD 2>/dev/null || echo none); $(date -u +%Y-%m-%d)"
status=0
for program in "$build"/bench/bench_*; do
    [ -f "$program" ] && [ -x "$program" ] || continue
    echo
    echo "== $(basename "$program")"
    "$program" || status=1
done
exit $status
