#!/bin/sh
# Runs the test programs, quickest floor first, and ends with one line: N passed, N failed, N skipped.
#   BUILD  the build folder         T  a floor (schema, model, indexer, query, cli) or part of a test's path
#   LIST   not empty: print the names of the tests alone
#   LIMIT  seconds that one test may take (600; under sanitizers 3600): then it hangs, and is killed with its children
# A test program (cmocka) prints "[       OK ] name"; a script prints "ok - name", "not ok - name" or "skip - name".
set -u
BUILD=${BUILD:-build}
T=${T:-}
export BUILD
log=$(mktemp)
pid=
# A test runs in a process group of its own, which a terminal's Ctrl-C does not reach.
trap 'rm -f "$log" "$log.all"' EXIT
trap '[ -z "$pid" ] || kill $pid; exit 130' INT TERM
: >"$log.all"

# gcc's OpenMP is a stranger to the thread sanitizer, which would call each parallel loop a race: loops run on one thread then. Tests
# that set a number of threads themselves still report them; of use is SAN=thread with T=indexer, T=train/parts, T=train/run.
case $BUILD in build/*thread*) export OMP_NUM_THREADS=1 ;; esac
case $BUILD in build/*) LIMIT=${LIMIT:-3600} ;; *) LIMIT=${LIMIT:-600} ;; esac

run() {
    name=$1; shift
    case $name in *"$T"*) ;; *) return ;; esac
    if [ -n "${LIST:-}" ]; then echo "$name"; return; fi
    printf '== %s\n' "$name"
    start=$(date +%s)
    timeout -k 5 "$LIMIT" "$@" >"$log" 2>&1 </dev/null &
    pid=$!
    wait $pid
    code=$?
    pid=
    # 137: what does not hear SIGTERM is killed, and timeout, which is of its group, too.
    end=$(date +%s)
    case $code in 124 | 137) [ $((end - start)) -lt "$LIMIT" ] || echo "not ok - $name hangs: killed after $LIMIT seconds" >>"$log" ;; esac
    cat "$log" >>"$log.all"
    if [ $code -ne 0 ] || grep -q -e '^not ok' -e '^\[  FAILED  \]' "$log"; then
        cat "$log"
        # A program that died before it could count its failure.
        grep -q -e '^not ok' -e '^\[  FAILED  \]' "$log" || { echo "not ok - $name exited with $code" | tee -a "$log.all"; }
    else
        grep -e '^skip - ' -e '^not tested' "$log"
    fi
    [ $((end - start)) -lt 5 ] || printf '   %s seconds\n' $((end - start))
}

for floor in schema model indexer query; do
    for source in $(find tests/$floor -name '*.c' | sort); do
        name=${source#tests/}
        name=${name%.c}
        run "$name" "$BUILD/tests/$name"
    done
done
for script in tests/cli/*.sh; do
    [ -f "$script" ] || continue
    run "cli/$(basename "$script" .sh)" bash "$script"
done

[ -z "${LIST:-}" ] || exit 0

# cmocka names a failed test twice: once as it runs, once in its closing list.
passed=$(grep -c -e '^\[       OK \]' -e '^ok - ' "$log.all")
skipped=$(grep -c -e '^\[  SKIPPED \] [A-Za-z0-9_]*$' -e '^skip - ' "$log.all")
failed=$(grep -e '^not ok - ' -e '^\[  FAILED  \] [A-Za-z0-9_]*$' "$log.all" | sort -u | wc -l)
[ $((passed + failed)) -gt 0 ] || { echo "no test matches '$T'"; exit 2; }
if [ "$skipped" -gt 0 ]; then echo "$passed passed, $failed failed, $skipped skipped"; else echo "$passed passed, $failed failed"; fi
[ "$failed" -eq 0 ]
