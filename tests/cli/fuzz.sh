#!/bin/bash
# Every reader of files and words against what tests/fuzz has in store: seeds, cases that failed once, and variations of both. The
# programs print "ok - fuzz NAME: ..." themselves.
set -u
BUILD=${BUILD:-build}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_NUM_THREADS=1
# Under sanitizers: no single block above 128 MB, whatever an input claims.
export ASAN_OPTIONS=${ASAN_OPTIONS:-}:max_allocation_size_mb=128
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-}:halt_on_error=1:print_stacktrace=1
# libheif forgets what dav1d has decoded of a damaged picture.
echo 'leak:libdav1d.so' >"$work/suppressions"
export LSAN_OPTIONS=${LSAN_OPTIONS:-}:suppressions=$work/suppressions:print_suppressions=0

for source in tests/fuzz/*.c; do
    name=$(basename "$source" .c)
    case $name in replay | support) continue ;; esac
    if ! "$BUILD/tests/fuzz/$name" "tests/fuzz/seeds/$name" "tests/fuzz/found/$name" >"$work/log" 2>"$work/errors"; then
        # The case lies in $TMPDIR: see replay.c.
        head -n 60 "$work/errors"
        grep -q '^not ok' "$work/log" || echo "not ok - fuzz $name"
    fi
    cat "$work/log"
done
