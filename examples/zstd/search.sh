#!/bin/sh
# Search for the zstd parameters that make FILE smallest.
# Usage: search.sh STORE FILE [TRIALS [SEED [more options of hpo run...]]]
# The same command line again resumes. `hpo` must be on the PATH.
set -eu
store=$1 file=$2 trials=${3:-100} seed=${4:-1}
if [ $# -gt 4 ]; then shift 4; else shift $#; fi
# zstd refuses mml=2. The search need not know that: such a trial FAILs, with zstd's words kept beside it.
exec hpo run -s "$store" --study zstd --sampler random --seed "$seed" --trials "$trials" "$@" \
    --param 'wlog=int(16,20)' --param 'clog=int(16,20)' --param 'hlog=int(14,20)' --param 'slog=int(6,12)' \
    --param 'mml=int(2,5)' --param 'tlen=int(16,4096,log)' --param 'strat=int(7,9)' \
    -- "$(dirname "$0")/size.sh" "$file" \
    'wlog={wlog},clog={clog},hlog={hlog},slog={slog},mml={mml},tlen={tlen},strat={strat}'
