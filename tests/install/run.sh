#!/usr/bin/env bash
# Install into an empty root, then build and run a C and a C++ program against it: with pkg-config (shared and static)
# and with find_package. Usage: run.sh BUILD-DIRECTORY CMAKE CC CXX
set -eu
build=$1 cmake=$2 cc=$3 cxx=$4
here=$(cd "$(dirname "$0")" && pwd)
root=$(mktemp -d "${TMPDIR:-/tmp}/hpo-install-XXXXXX")
trap 'rm -rf "$root"' EXIT
programs=0

# What is installed is the place where it was put first; it is moved afterwards, so that no path of it can be built in.
"$cmake" --install "$build" --prefix "$root/first" >"$root/install.log" || { cat "$root/install.log"; exit 1; }
mv "$root/first" "$root/usr"
header=$(find "$root/usr" -name hpo.h)
library=$(find "$root/usr" -name 'libhpo.so.0')
static=$(find "$root/usr" -name 'libhpo.a')
pc=$(find "$root/usr" -name hpo.pc)
for file in "$header" "$library" "$static" "$pc"; do
    [ -e "$file" ] || { echo "not installed: header, libhpo.so.0, libhpo.a or hpo.pc"; exit 1; }
done
export PKG_CONFIG_PATH=${pc%/*} LD_LIBRARY_PATH=${library%/*}
[ "$(pkg-config --modversion hpo)" = 0.1.0 ]

run() { # run PROGRAM: it makes a store and exits 0
    rm -rf "$root/store"
    "$1" "$root/store" || { echo "failed: $1"; exit 1; }
    programs=$((programs + 1))
}

read -ra flags <<<"$(pkg-config --cflags --libs hpo)"
"$cc" -Wall -Wextra -Werror "$here/program.c" "${flags[@]}" -o "$root/c-shared"
run "$root/c-shared"
"$cxx" -std=c++11 -Wall -Wextra -Wpedantic -Werror "$here/program.cc" "${flags[@]}" -o "$root/c++-shared"
run "$root/c++-shared"
readelf -d "$root/c-shared" | grep -q 'NEEDED.*libhpo.so.0' || { echo "the soname is not libhpo.so.0"; exit 1; }
read -ra cflags <<<"$(pkg-config --cflags hpo)"
read -ra private <<<"$(pkg-config --static --libs hpo | sed 's/-lhpo//')"
"$cc" -Wall -Wextra -Werror "${cflags[@]}" "$here/program.c" "$static" "${private[@]}" -o "$root/c-static"
run "$root/c-static"

"$cmake" -S "$here/project" -B "$root/project" -DCMAKE_PREFIX_PATH="$root/usr" -DCMAKE_C_COMPILER="$cc" \
    -DCMAKE_CXX_COMPILER="$cxx" >"$root/project.log" 2>&1 || { cat "$root/project.log"; exit 1; }
"$cmake" --build "$root/project" >>"$root/project.log" 2>&1 || { cat "$root/project.log"; exit 1; }
for program in c cc c_static; do
    run "$root/project/with_$program"
done

# Two copies of the library in one process, one of them static: their names must not meet.
nm -g --defined-only "$static" | awk 'NF == 3 { print $3 }' | grep -v '^hpo_' &&
    { echo "libhpo.a shows names that are not hpo.h's"; exit 1; }
if grep -rl "$build" "$root/usr" --include='*.cmake' --include='*.pc'; then
    echo "an installed file names the build directory"
    exit 1
fi
echo "$programs programs built against the installed library"
