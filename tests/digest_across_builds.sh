#!/bin/sh
# digest_across_builds.sh <root of the tree>
#
# The samplers give the same bits whatever builds them. Compiles them with every compiler and level that is here,
# runs fixed lists of suggestions and 400,000 function values, and compares the digests with those in the tree. Then
# makes sure that the guards can fail: a build that fuses multiply-adds must be noticed by the self-test, and -ffast-math
# must not compile. A compiler that is missing is named, never passed over in silence.
set -u
root=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
common="-std=gnu11 -D_GNU_SOURCE -fno-math-errno -DXXH_INLINE_ALL -I$root -I$root/tests"
pure="-ffp-contract=off -fno-fast-math"

# compile <output> <compiler and flags>: all sources in one command.
compile()
{
    output=$1
    shift
    # shellcheck disable=SC2086 # flags are words
    "$@" $common "$root"/tests/digest_samplers.c "$root"/samplers/*.c -o "$output" 2> "$output.log"
}

# same <name> <runner or ""> <compiler and flags>
same()
{
    name=$(echo "$*" | tr ' /' '__')
    runner=$1
    shift
    # shellcheck disable=SC2086
    if compile "$work/$name" "$@" $pure && printed=$($runner "$work/$name"); then
        echo "ok: $*: $printed"
    else
        echo "FAILED: $*: ${printed:-does not compile}"
        head -5 "$work/$name.log"
        echo 1 > "$work/failed"
    fi
}

for compiler in gcc clang; do
    if ! command -v $compiler > /dev/null; then
        echo "SKIPPED: $compiler is not installed: its bits were not compared"
        continue
    fi
    # Two at a time: machines for this have two processors.
    same "" $compiler -O0 &
    same "" $compiler -O2
    wait
    same "" $compiler -O3 -march=native &
    same "" $compiler -O3 -fno-inline -fPIC
    wait
done
if command -v aarch64-linux-gnu-gcc > /dev/null && command -v qemu-aarch64 > /dev/null; then
    same "qemu-aarch64" aarch64-linux-gnu-gcc -O2 -static
else
    echo "SKIPPED: aarch64-linux-gnu-gcc or qemu-aarch64 is not installed: arm64 was not compared"
fi

# The guards.
if grep -qw fma /proc/cpuinfo; then
    for compiler in gcc clang; do
        command -v $compiler > /dev/null || continue
        if ! compile "$work/fused" $compiler -O2 -mfma -ffp-contract=fast; then
            echo "FAILED: $compiler -ffp-contract=fast does not compile"
            failed=1
        elif printed=$("$work/fused"); then
            echo "FAILED: $compiler -ffp-contract=fast goes unnoticed: $printed"
            failed=1
        elif [ "${printed##* }" -lt 2147483648 ]; then
            echo "FAILED: $compiler -ffp-contract=fast: wrong bits under the right math version: $printed"
            failed=1
        else
            echo "ok: $compiler -ffp-contract=fast is noticed: $printed"
        fi
    done
else
    echo "SKIPPED: this processor has no fused multiply-add: the self-test was not seen to notice it"
fi
if compile "$work/fast" gcc -O2 -ffast-math; then
    echo "FAILED: -ffast-math compiles"
    failed=1
else
    echo "ok: -ffast-math is refused"
fi
[ ! -e "$work/failed" ] || failed=1
exit $failed
