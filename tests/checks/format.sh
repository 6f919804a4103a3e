#!/usr/bin/env bash
# Every C file is laid out by clang-format with the tree's own style; files that a script makes ("do not edit.") are as it made them. Usage: format.sh SOURCE_DIR
set -eu
cd "$1"
command -v clang-format >/dev/null || { echo "clang-format is not installed"; exit 1; }
git ls-files '*.c' '*.h' '*.cc' 2>/dev/null >/dev/null || { echo "not a git checkout: nothing to compare"; exit 0; }
git ls-files '*.c' '*.h' '*.cc' | xargs grep -L 'do not edit\.$' | xargs clang-format --dry-run --Werror
