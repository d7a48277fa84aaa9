#!/bin/bash
# `coca index` and `coca forget` as a user meets them: exit codes, what is said, and that photographs are only read.
set -u
. tests/cli/support.inc

"$scenes" "$photos" --count 12 --seed 5 --size 96 >"$work/out" 2>&1 || { cat "$work/out"; echo "not ok - pictures are drawn"; }

expect "without a folder there is nothing to do" 2 "coca index ~/Pictures" "$coca" index
expect "a folder that is not there fails" 1 "$work/nothing" "$coca" index "$work/nothing"
expect "a model that is not there fails" 1 "$work/no-model" "$coca" index "$photos" --model "$work/no-model"
expect "no threads are too few" 2 "--jobs takes" "$coca" index "$photos" --jobs 0
expect "an empty pattern is refused" 2 "--exclude needs" "$coca" index "$photos" --exclude ""
expect "a size must be one" 2 "--token-budget takes" "$coca" index "$photos" --token-budget lots

find "$photos" -printf '%p %s %T@ %m\n' | sort >"$work/before"
expect "photographs are indexed" 0 "12 photos: 12 new, 0 unchanged" "$coca" index "$photos"
find "$photos" -printf '%p %s %T@ %m\n' | sort | cmp -s - "$work/before" && echo "ok - photographs are only read" || echo "not ok - photographs are only read"
[ ! -s "$work/out" ] && echo "ok - the summary is no result" || echo "not ok - the summary is no result"
expect "the next run finds nothing new" 0 "12 photos: 0 new, 12 unchanged" "$coca" index "$photos/"
expect "known folders need not be named" 0 "12 photos: 0 new, 12 unchanged" "$coca" index
expect "--verbose says where the time went" 0 "encode" "$coca" index --verbose
"$coca" index --quiet "$photos" >"$work/out" 2>&1
[ ! -s "$work/out" ] && echo "ok - --quiet says nothing" || echo "not ok - --quiet says nothing"

mkdir "$photos/album" "$photos/.hidden" "$photos/raw"
mv "$photos/000003.jpg" "$photos/album/renamed.jpg"
cp "$photos/000004.jpg" "$photos/.hidden/a.jpg"
cp "$photos/000004.jpg" "$photos/raw/b.jpg"
touch "$photos/c.jxl" "$photos/d.JXL" "$photos/e.crw"
ln -s 000005.jpg "$photos/link.jpg"
expect "a moved photograph is recognised" 0 "12 photos: 0 new, 11 unchanged, 1 moved or copied" "$coca" index "$photos" --exclude raw/
grep -qF "not supported yet: 2 jxl, 1 crw files" "$work/log" && echo "ok - formats to come are named" || echo "not ok - formats to come are named"
grep -qF "symbolic links not followed: 1" "$work/log" && echo "ok - links are named" || echo "not ok - links are named"
expect "hidden folders and links are taken when told" 0 "3 moved or copied" "$coca" index "$photos" --include-hidden --follow
expect "what is left out again is gone" 0 "2 gone" "$coca" index "$photos"

echo "no photograph" >"$photos/$(printf 'odd\nname.jpg')"
expect "a broken file is named and the exit code 4" 4 "odd\\x0aname.jpg': not a JPEG" "$coca" index "$photos"
expect "it is named until it is mended" 4 "1 file was skipped" "$coca" index "$photos" --quiet
rm "$photos"/odd*
expect "the deleted file is gone" 0 "1 gone" "$coca" index "$photos"

mv "$photos" "$work/unplugged"
expect "a folder that is away keeps its photographs" 4 "are kept; hint: --prune" "$coca" index "$photos"
mv "$work/unplugged" "$photos"
expect "and nothing is embedded again" 0 " 0 new" "$coca" index "$photos"
expect "the catalog is sound" 0 "" "$coca" verify

# A file-size limit stands for a full disk.
(trap '' XFSZ; ulimit -f 200; COCA_DB=$work/full.db "$coca" index "$photos") >"$work/log" 2>&1
code=$?
[ $code -eq 1 ] && grep -q '^coca: ' "$work/log" && echo "ok - a full disk fails" || { cat "$work/log"; echo "not ok - a full disk fails ($code)"; }
COCA_DB=$work/full.db expect "and with room again the run is taken up" 0 "photos: " "$coca" index "$photos"
COCA_DB=$work/full.db expect "on a sound catalog" 0 "" "$coca" verify

# An interrupt, and a second process meanwhile. A large library, so that there is a meanwhile.
"$scenes" "$work/many" --count 1000 --seed 6 --size 96 >/dev/null 2>&1
"$coca" index "$work/many" --db "$work/many.db" --batch 1 --jobs 1 >"$work/first" 2>&1 &
pid=$!
soon "$coca" status --db "$work/many.db"
expect "a second process is told to wait" 1 "coca: " "$coca" index "$work/many" --db "$work/many.db"
kill -INT $pid
wait $pid
code=$?
if [ $code -eq 1 ] && grep -q 'interrupted; what was indexed is kept; run it again to go on' "$work/first"; then
    echo "ok - an interrupt keeps what is done"
else
    cat "$work/first"
    echo "not ok - an interrupt keeps what is done (exit code $code)"
fi
expect "the next run goes on" 0 "1000 photos: " "$coca" index "$work/many" --db "$work/many.db"
expect "to the same end" 0 "0 new, 1000 unchanged" "$coca" index "$work/many" --db "$work/many.db"

expect "forget needs a folder" 2 "coca forget DIR" "$coca" forget
expect "a folder is forgotten" 0 "forgot 1 photo of" "$coca" forget "$photos/album"
expect "what is unknown cannot be forgotten" 3 "$work/nothing" "$coca" forget "$work/nothing"
expect "what was forgotten returns without being embedded" 0 "1 moved or copied" "$coca" index "$photos"
expect "--prune forgets embeddings, too" 0 "forgot" "$coca" forget --prune "$photos"
expect "then all is new" 0 "13 photos: 12 new, 0 unchanged, 1 moved or copied" "$coca" index "$photos"
