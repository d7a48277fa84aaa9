#!/bin/sh
# Runs fuzzers one after the other, for make fuzz: run.sh NAME...
#   FUZZ  their build folder        SECONDS_EACH  how long each searches
# A finding ends the run: its input is reduced and kept in tests/fuzz/found/NAME, where make test runs it from then on. What is new
# in coverage stays in FUZZ/corpus/NAME for the next time.
set -u
FUZZ=${FUZZ:-build/fuzz}
seconds=${SECONDS_EACH:-60}
# A reader must not take much more memory than its input is large: no single block above 64 MB, nor 1 GB in all.
limits="-malloc_limit_mb=64 -rss_limit_mb=1024 -timeout=10 -max_len=32768"
export UBSAN_OPTIONS=print_stacktrace=1
export ASAN_OPTIONS=detect_leaks=1
export OMP_NUM_THREADS=1

for name in "$@"; do
    work=$FUZZ/found/$name/
    seeds=tests/fuzz/seeds/$name
    found=tests/fuzz/found/$name
    mkdir -p "$FUZZ/corpus/$name" "$found"
    rm -rf "$work"
    mkdir -p "$work"
    # shellcheck disable=SC2086 # words are meant
    nice "$FUZZ/bin/$name" $limits -max_total_time="$seconds" -print_final_stats=1 -artifact_prefix="$work" \
        "$FUZZ/corpus/$name" "$seeds" "$found" >"$FUZZ/bin/$name.log" 2>&1
    code=$?
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$FUZZ/bin/$name.log")
    input=$(find "$work" -type f | head -n 1)
    if [ $code -eq 0 ] && [ -z "$input" ]; then
        rmdir "$found" 2>/dev/null # nothing was ever found
        echo "ok - $name: ${runs:-0} inputs in $seconds seconds"
        continue
    fi
    grep -v -e '^#' -e '^INFO' "$FUZZ/bin/$name.log" | head -n 60
    if [ -z "$input" ]; then
        echo "not ok - $name stopped with $code; see $FUZZ/bin/$name.log"
        exit 1
    fi
    kept=$found/$(basename "$input")
    # shellcheck disable=SC2086
    nice "$FUZZ/bin/$name" $limits -minimize_crash=1 -runs=20000 -max_total_time=30 -exact_artifact_path="$kept" "$input" >/dev/null 2>&1
    [ -s "$kept" ] || cp "$input" "$kept"
    echo "not ok - $name: the input is kept in $kept"
    exit 1
done
