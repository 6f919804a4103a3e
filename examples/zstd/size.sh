#!/bin/sh
# The objective: bytes of FILE after compression with the given parameters, on the last line.
# Usage: size.sh FILE wlog=..,clog=..,hlog=..,slog=..,mml=..,tlen=..,strat=..
# Exits non-zero if zstd refuses the parameters or if the result does not give FILE back.
set -eu
out=${HPO_TRIAL_DIR:?runs under hpo run}/compressed
zstd -q --single-thread --no-check "--zstd=$2" -o "$out" "$1"
zstd -q -d -c "$out" | cmp -s - "$1"
stat -c %s "$out"
rm "$out"
