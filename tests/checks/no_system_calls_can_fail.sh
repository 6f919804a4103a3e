#!/usr/bin/env bash
# The check above must be able to fail: an object that calls fopen is caught. Usage: no_system_calls_can_fail.sh CC SCRIPT
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
printf '#include <stdio.h>\nvoid f(void);\nvoid f(void)\n{\n    fclose(fopen("x", "r"));\n}\n' >"$dir/sneaky.c"
"$1" -c "$dir/sneaky.c" -o "$dir/sneaky.o"
ar rc "$dir/libsneaky.a" "$dir/sneaky.o"
if "$2" "$dir/libsneaky.a" >/dev/null; then
    echo "the check let fopen pass"
    exit 1
fi
