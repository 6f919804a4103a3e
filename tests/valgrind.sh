#!/usr/bin/env bash
# The unit tests under valgrind's memcheck, at the smallest scale. Usage: valgrind.sh BUILD_DIR [TEST...]
set -u
build=$1
shift
export HPO_TEST_SCALE=0.002
passed=0
failed=0
tests=("$@")
[ ${#tests[@]} -gt 0 ] || tests=("$build"/tests/unit/test_*)
for test in "${tests[@]}"; do
    [ -x "$test" ] && [ -f "$test" ] || continue
    # Criterion's own worker leaks a little by design; what counts is bad access and definite leaks from our code.
    if log=$(valgrind -q --trace-children=yes --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite \
        --suppressions="$(dirname "$0")/valgrind.supp" "$test" --jobs 2 2>&1); then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "--- $test"
        echo "$log" | tail -n 60
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
