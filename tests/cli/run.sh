#!/bin/bash
# tests/run.sh itself: a test that hangs is named and killed with what it started, and the next one runs.
set -u
. tests/cli/support.inc

root=$PWD
mkdir -p "$work"/house/tests/{schema,model,indexer,query,cli}
cd "$work/house" || exit 1
printf 'trap "" TERM\nsleep 1000 & echo $! >"%s/deaf"\nwait; wait; sleep 1000\n' "$work" >tests/cli/a.sh
printf 'echo "ok - before"\nsleep 1000 & echo $! >"%s/child"\nwait\n' "$work" >tests/cli/b.sh
printf 'echo "ok - it comes to its turn"\n' >tests/cli/c.sh
# A signal takes a moment to arrive.
dead() {
    for _ in $(seq 100); do [ ! -d "/proc/$1" ] && return; grep -q "^State:.Z" "/proc/$1/status" 2>/dev/null && return; sleep 0.1; done
    return 1
}

LIMIT=1 T= expect "a test that hangs fails" 1 "not ok - cli/b hangs: killed after 1 seconds" sh "$root/tests/run.sh"
is "one that does not hear the signal, too" grep -q "not ok - cli/a hangs: killed after 1 seconds" "$work/out"
is "what it said is counted, and so are the others" grep -q "^2 passed, 2 failed$" "$work/out"
is "its children end with it" dead "$(cat "$work/child")"
is "those that do not hear, too" dead "$(cat "$work/deaf")"
