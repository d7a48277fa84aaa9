#!/bin/bash
# The built program has what the Makefile promises: position independent, tables of the linker read only from the start, guarded stacks
# and checked copies.
set -u
BUILD=${BUILD:-build}
coca=$BUILD/coca
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

check() { # NAME PATTERN FILE
    if grep -q -e "$2" "$work/$3"; then echo "ok - $1"; else echo "not ok - $1"; fi
}
readelf -W -h "$coca" >"$work/header"
readelf -W -l "$coca" >"$work/segments"
readelf -W -d "$coca" >"$work/dynamic"
nm -D "$coca" >"$work/symbols"

check "the program is position independent" 'Type: *DYN' header
check "it is marked as a program, not a library" 'FLAGS_1.*PIE' dynamic
check "relocated tables are read only" GNU_RELRO segments
check "all symbols are bound at the start" 'FLAGS.*NOW' dynamic
check "stacks are guarded" '__stack_chk_fail' symbols
if grep -q 'GNU_STACK.*RWE' "$work/segments"; then echo "not ok - no stack is executable"; else echo "ok - no stack is executable"; fi
case $BUILD in
    build) check "copies are checked" '__\(memcpy\|snprintf\|vsnprintf\|fprintf\)_chk' symbols ;;
    *) echo "skip - copies are checked (sanitizers check them)" ;;
esac
