#!/usr/bin/env bash
# libhpo.so.0 exports exactly the calls that hpo.h declares, under HPO_0.1, and hpo_os_install under HPO_FAULT.
# Usage: exports.sh LIBRARY HEADER
set -eu
declared=$(sed -e ':a;N;$!ba;s/\n/ /g' "$2" | grep -o 'HPO_API [^;(]*(' | grep -o 'hpo_[a-z0-9_]*(' | tr -d '(' | sort)
exported=$(nm -D --defined-only "$1" | awk '$2 ~ /[TDBR]/ { print $3 }' | sort)
wanted=$( (sed 's/$/@@HPO_0.1/' <<<"$declared"; echo 'hpo_os_install@@HPO_FAULT') | sort)
if ! diff <(echo "$wanted") <(echo "$exported"); then
    echo "hpo.h (<) and the library's exports (>) differ: see engine/libhpo.map"
    exit 1
fi
echo "$(wc -l <<<"$declared") calls declared and exported"
