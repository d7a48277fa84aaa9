#!/bin/bash
# `coca texts`, and photographs found by their texts, as a user meets them.
set -u
. tests/cli/drawn.inc

expect "without words it is wrong usage" 2 "add, list or forget" "$coca" texts
expect "an unknown word is wrong usage" 2 "not 'put'" "$coca" texts put x
expect "nothing to add is wrong usage" 2 "takes a file" "$coca" texts add
expect "a file that is not there fails" 1 "no.tsv" "$coca" texts add "$work/no.tsv"
expect "without texts there is nothing to list" 3 "holds no texts" "$coca" texts list

captions >"$work/captions.tsv"
expect "captions are tied to photos" 0 "24 texts added to 'captions', 0 were there" "$coca" texts add "$work/captions.tsv"
expect "the same again adds none" 0 "0 texts added to 'captions', 24 were there" "$coca" texts add "$work/captions.tsv"
{ printf '000000.jpg\tgrandmother at the seaside\nmissing.jpg\tx\nno tab\n'; } >"$work/more.tsv"
expect "lines without a photo are named, and the exit code is 4" 4 "line 2: the catalog does not hold 'missing.jpg'" \
    "$coca" texts add "$work/more.tsv" --collection notes
is "lines without a TAB are, too" grep -qF "line 3: it has no TAB" "$work/log"
printf 'a dog\na red circle\n' | "$coca" texts add - --collection words >"$work/out" 2>"$work/log"
is "standard input is read" grep -qF "2 texts added to 'words'" "$work/log"
expect "collections are listed" 0 "captions" "$coca" texts list
is "with their numbers" grep -qE '^ +24 +24  captions$' "$work/out"
expect "texts are listed with their photos" 0 '"path":"'"$photos/000000.jpg"'"' "$coca" texts list --collection notes --format json
is "as JSON" "$json_check" <"$work/out"
expect "a collection that is not there is no result" 3 "no collection 'x'" "$coca" texts list --collection x

expect "a photo is found by its text" 0 "[text: grandmother at the seaside]" "$coca" search grandmother at the seaside -n 1
expect "and says so" 0 '"found_by":"text","text":"grandmother at the seaside"' "$coca" search grandmother at the seaside -n 1 --format json
is "in valid JSON" "$json_check" <"$work/out"
is "at its own path" grep -qF "$photos/000000.jpg" "$work/out"
expect "others by their pixels" 0 '"found_by":"pixels","text":null' "$coca" search grandmother at the seaside -n 24 --format json
expect "--in leaves out what a text would find" 0 '000001.jpg' "$coca" search grandmother at the seaside --in "$photos/000001.jpg" --format json
is "wholly" [ "$(wc -l <"$work/out")" = 1 ]

# Another model embeds the texts when it is first asked; while another process writes, it does without.
cp -r model/default "$work/other"
printf ' ' >>"$work/other/open_clip_config.json"
"$coca" index "$photos" --model "$work/other" -q 2>/dev/null || "$coca" index "$photos" --model "$work/other" >/dev/null 2>&1
( flock 9; "$coca" search grandmother at the seaside -n 1 --model "$work/other" >"$work/out" 2>"$work/log" ) 9>>"$COCA_DB.lock"
is "texts that cannot be embedded now are left out, and it is said" grep -qF "are left out" "$work/log"
expect "another model embeds the texts on demand" 0 "grandmother at the seaside" "$coca" search grandmother at the seaside -n 1 --model "$work/other"

expect "a collection is forgotten" 0 "1 texts forgotten" "$coca" texts forget notes
expect "and finds no photo any more" 0 "" "$coca" search grandmother at the seaside -n 24
is "at all" not grep -qF "text: grandmother" "$work/out"
expect "once only" 3 "no collection" "$coca" texts forget notes
expect "the catalog is sound" 0 "sound" "$coca" verify

long="grandfather, who liked to fish from the end of the pier in every kind of weather, with his old hat"
printf '000005.jpg\t%s\n' "$long" >"$work/long.tsv"
"$coca" texts add "$work/long.tsv" >"$work/out" 2>"$work/log"
expect "a long text is cut where it stands beside a path" 0 "[text: grandfather, who liked to fish from the end of the pier in every kind of...]" \
    "$coca" search "$long" -n 24
