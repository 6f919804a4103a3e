#!/bin/sh
# check_symbols.sh <libhpo_samplers.a> <samplers directory>
#
# samplers/ calls nothing but what is listed here: no libm (its bits differ from machine to machine), no malloc, no file,
# no clock; and it includes nothing of the engine. Fails with the names of what it found.
set -eu
archive=$1
sources=$2
defined=$(mktemp)
trap 'rm -f "$defined"' EXIT

# Memory and string functions that compilers also call by themselves, asserts, xxHash; then what sanitizers, coverage,
# stack protection and position-independent code put into objects.
allowed='memcpy|memset|memcmp|memmove|strlen|strcmp|__assert_fail|XXH[0-9A-Za-z_]*'
allowed="$allowed|__(asan|ubsan|tsan|msan|sanitizer|gcov|llvm)_[0-9A-Za-z_]*|__stack_chk_fail"
allowed="$allowed|__mem(cpy|set|move)_chk|_GLOBAL_OFFSET_TABLE_|__sancov_[0-9A-Za-z_]*"

nm --defined-only "$archive" | awk 'NF == 3 { print $3 }' | sort -u > "$defined"
objects=$(nm "$archive" | grep -c '\.o:$')
[ "$objects" -gt 0 ] || { echo "no objects in $archive"; exit 1; }
found=$(nm -u "$archive" | awk '$1 == "U" || $1 == "w" { print $2 }' | sort -u |
    grep -vxFf "$defined" | grep -vxE "$allowed" || true)
if [ -n "$found" ]; then
    echo "samplers/ uses symbols that it must not:"
    echo "$found"
    exit 1
fi
included=$(grep -nE '^[[:space:]]*#[[:space:]]*include[[:space:]]*["<](engine/|hpo|\.\./|math\.h|stdio\.h|stdlib\.h|time\.h|fenv\.h|unistd\.h)' \
    "$sources"/*.c "$sources"/*.h || true)
if [ -n "$included" ]; then
    echo "samplers/ includes headers that it must not:"
    echo "$included"
    exit 1
fi
echo "$objects objects: no undefined symbol outside the list, no forbidden include"
