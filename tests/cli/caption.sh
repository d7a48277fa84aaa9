#!/bin/bash
# `coca caption` as a user meets it: files, folders, a whole library that is gone on with after an interruption.
set -u
. tests/cli/drawn.inc

expect "without a photo it is wrong usage" 2 "--all" "$coca" caption
expect "a photo and --all are wrong usage" 2 "--all stands" "$coca" caption x --all
expect "a photo is described" 0 "[$photos/000001.jpg]" "$coca" caption "$photos/000001.jpg"
expect "as JSON" 0 '"beams":1,"stored":false' "$coca" caption --beams 1 --format json "$photos/000001.jpg"
is "that is valid" "$json_check" <"$work/out"
expect "a file that cannot be read is skipped" 4 "nofile.jpg" "$coca" caption "$photos/000001.jpg" "$work/nofile.jpg"
mkdir "$work/empty"
expect "a folder without indexed photos has none to describe" 3 "hint: coca index" "$coca" caption "$work/empty"
expect "a whole library" 0 "000023.jpg" "$coca" caption --all --beams 1
is "is described once each" [ "$(wc -l <"$work/out")" = 24 ]
cp "$work/out" "$work/all"
expect "nothing was stored by that" 3 "holds no texts" "$coca" texts list

# From stored tokens alone, and so as the files themselves.
mv "$photos" "$work/away"
expect "photos that are away are described from their tokens" 0 "000023.jpg" "$coca" caption --all --beams 1
is "as when they were there" cmp "$work/out" "$work/all"
mv "$work/away" "$photos"

# An interrupted run: the first batches are kept.
"$coca" caption --all --store --beams 60 >"$work/out" 2>"$work/log" &
pid=$!
soon test -s "$work/out"
kill -INT $pid 2>/dev/null
wait $pid
code=$?
first=$("$coca" texts list 2>/dev/null | awk '$3 == "captions" {print $1}')
is "an interrupted run ends with 1 or was quicker" [ "$code" = 1 -o "${first:-0}" = 24 ]
expect "the next one goes on" 0 "${first:-0} photos had one already" "$coca" caption --all --store --beams 1
is "to the end" grep -qE '^ +24 +24  captions$' <("$coca" texts list)
expect "then nothing is left" 0 "0 captions stored, 24 photos had one already" "$coca" caption --all --store
expect "in a folder, too" 0 "0 captions stored, 24 photos had one already" "$coca" caption "$photos" --store
expect "a named file is described anew" 0 "1 captions stored" "$coca" caption "$photos/000001.jpg" --store --beams 1 --most 3
is "in place of the old one" grep -qE '^ +24 +24  captions$' <("$coca" texts list)
cp "$photos/000001.jpg" "$work/copy.jpg"
expect "a copy is its photo" 0 "1 captions stored" "$coca" caption "$work/copy.jpg" --store
"$scenes" "$work/new" --count 1 --seed 9 >/dev/null 2>&1
expect "what is not indexed cannot be stored" 1 "is not indexed" "$coca" caption "$work/new/000000.jpg" --store
caption=$("$coca" texts list --collection captions --format json | head -n 1 | sed 's/.*"text":"\([^"]*\)".*/\1/')
expect "captions find photos" 0 '"found_by":"text"' "$coca" search "$caption" --format json
expect "captions are forgotten" 0 "24 texts forgotten" "$coca" texts forget captions
expect "and written again" 0 "24 captions stored, 0 photos had one already" "$coca" caption --all --store --beams 1
expect "the catalog is sound" 0 "sound" "$coca" verify
