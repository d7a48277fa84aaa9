#!/bin/bash
# `coca search`, `similar`, `embed`, `status` and `verify` as a user meets them: exit codes, formats, filters, what is said.
set -u
. tests/cli/support.inc

expect "without a catalog a search says how to make one" 3 "hint: coca index DIR" "$coca" search dog
expect "so does verify" 3 "hint: coca index DIR" "$coca" verify
expect "status shows the defaults all the same" 0 "not made yet" "$coca" status
[ ! -e "$COCA_DB" ] && echo "ok - a question makes no catalog" || echo "not ok - a question makes no catalog"

"$scenes" "$photos" --count 24 --seed 3 --size 96 >"$work/out" 2>&1 || { cat "$work/out"; echo "not ok - pictures are drawn"; }
mkdir "$photos/sub"
cp "$photos/000000.jpg" "$photos/sub/copy.jpg"
cp "$photos/000001.jpg" "$photos/$(printf 'line\nfeed \377 "quoted" <b>.jpg')"
"$coca" index "$photos" >"$work/out" 2>&1 || { cat "$work/out"; echo "not ok - pictures are indexed"; }

expect "an empty query is wrong usage" 2 "is empty" "$coca" search " "
expect "so is none" 2 "" "$coca" search
expect "a wrong date is wrong usage" 2 "is no date" "$coca" search x --since tomorrow
expect "a wrong place is wrong usage" 2 "--near takes" "$coca" search x --near here
expect "a wrong format is wrong usage" 2 "--format takes" "$coca" search x --format xml
expect "--rerank contradicts --no-rerank" 2 "contradicts" "$coca" search x --rerank --no-rerank
expect "a model that is not there fails" 1 "no-model" "$coca" search x --model "$work/no-model"

expect "words are found" 0 ".jpg" "$coca" search a red circle
cp "$work/out" "$work/several"
expect "several words are one query" 0 "" "$coca" search "a red circle"
is "with the same answer" cmp "$work/out" "$work/several"
OMP_NUM_THREADS=1 "$coca" search "a red circle" >"$work/out" 2>/dev/null
is "on one thread, too" cmp <(awk '{print $1, $3}' "$work/out") <(awk '{print $1, $3}' "$work/several")

expect "every photo is listed, copies too" 0 "sub/copy.jpg" "$coca" search circle -n 100 --format json
is "as one JSON object a line" "$json_check" <"$work/out"
is "26 of them" test "$(wc -l <"$work/out")" -eq 26
is "with likelihoods" grep -q '"caption_logprob":-' "$work/out"
is "and a path with odd bytes escaped" grep -qF 'line\nfeed \udcff \"quoted\" <b>.jpg' "$work/out"
expect "-n counts photos" 0 "" "$coca" search circle -n 3 --format json
is "three of them" test "$(wc -l <"$work/out")" -eq 3
expect "without reranking there are no likelihoods" 0 '"caption_logprob":null' "$coca" search circle -n 3 --format json --no-rerank
expect "paths0 ends paths in NUL" 0 "" "$coca" search circle -n 100 --format paths0
is "26 of them, which exist" test "$(tr '\n\0' '?\n' <"$work/out" | wc -l)" -eq 26
expect "text is one line a photo" 0 'line\x0afeed' "$coca" search circle -n 100
is "26 lines" test "$(wc -l <"$work/out")" -eq 26

expect "--in keeps to a folder" 0 "sub/copy.jpg" "$coca" search circle --in "$photos/sub"
is "and to its copy alone" test "$(wc -l <"$work/out")" -eq 1
expect "a filter that nothing passes finds nothing" 3 "no photograph passes the filter" "$coca" search circle --in "$work/elsewhere"
expect "photos without a date do not pass" 3 "no photograph passes" "$coca" search circle --since 1970
expect "a query beyond the context is cut, and that is said" 0 "longer than the model's" "$coca" search \
    one two three four five six seven eight nine ten one two three four five six seven eight nine ten one two three four five
expect "--quiet keeps to the results" 0 "" "$coca" search --quiet \
    one two three four five six seven eight nine ten one two three four five six seven eight nine ten one two three four five
is "and says nothing" test ! -s "$work/log"

expect "a page is written" 0 "" "$coca" search "<script>" -n 30 --html "$work/page.html"
is "with pictures inside" grep -q 'src="data:image/jpeg;base64,' "$work/page.html"
if grep -qaE '<script|<b>|https?:' "$work/page.html"; then echo "not ok - no foreign markup on it"; else echo "ok - no foreign markup on it"; fi
ln -s page.html "$work/link.html"
expect "through a link" 0 "" "$coca" search green -n 30 --html "$work/link.html"
is "which stays" sh -c "test -h '$work/link.html' && grep -q green '$work/page.html'"
mkfifo "$work/fifo"
cat "$work/fifo" >"$work/from_fifo" &
expect "into a FIFO" 0 "" "$coca" search green -n 30 --html "$work/fifo"
wait $!
is "which stays, too" sh -c "test -p '$work/fifo' && cmp '$work/from_fifo' '$work/page.html'"
is "and to standard output" sh -c "'$coca' search green -n 30 --html /dev/stdout 2>/dev/null | grep -q '<html'"
is "where others write, too" sh -c "(echo before; '$coca' search green -n 30 --html /dev/stdout 2>/dev/null) >'$work/out' && grep -q before '$work/out' && grep -q '<html' '$work/out'"
# Ended in the midst of it: the page is the old one (or the new one, where the signal came too late), and nothing lies beside it.
for _ in $(seq 50); do
    "$coca" search red -n 30 --html "$work/page.html" >/dev/null 2>&1 &
    pid=$!
    while kill -0 $pid 2>/dev/null && ! ls "$work"/page.html.tmp.* >/dev/null 2>&1; do :; done
    kill -TERM $pid 2>/dev/null
    wait $pid
    [ $? -eq 143 ] && break
done
is "ended in the midst of it, the page is whole and alone" sh -c "tail -n 1 '$work/page.html' | grep '</html>' && ! ls '$work'/page.html.tmp.*"

mv "$photos/000002.jpg" "$work/away.jpg"
expect "a photo that is away is listed as missing" 0 '"missing":true' "$coca" search circle -n 100 --format json
is "and is the only one" test "$(grep -c '"missing":true' "$work/out")" -eq 1
mv "$work/away.jpg" "$photos/000002.jpg"

expect "similar finds a copy first" 0 "sub/copy.jpg" "$coca" similar "$photos/000000.jpg" -n 1
expect "similar leaves the file out" 0 "" "$coca" similar "$photos/000000.jpg" -n 100 --format json
is "that file alone" test "$(wc -l <"$work/out")" -eq 25
if grep -q '/000000.jpg"' "$work/out"; then echo "not ok - it is not among them"; else echo "ok - it is not among them"; fi
"$scenes" "$work/unknown" --count 1 --seed 77 --size 96 >/dev/null 2>&1
expect "similar takes a file that is not indexed" 0 ".jpg" "$coca" similar "$work/unknown/000000.jpg" -n 3
expect "similar fails without a file" 1 "cannot open" "$coca" similar "$work/nothing.jpg"
expect "similar fails with what is no picture" 1 "not a JPEG" "$coca" similar "$COCA_DB"

expect "embed prints JSON" 0 '"embedding":[' "$coca" embed --text "a dog" "$photos/000000.jpg"
is "that is valid" "$json_check" <"$work/out"
is "texts first" test "$(head -n 1 "$work/out" | cut -c1-15)" = '{"text":"a dog"'
expect "embed prints floats" 0 "" "$coca" embed --text a --text b --format f32
is "192 for each text" test "$(wc -c <"$work/out")" -eq $((2 * 192 * 4))
expect "a file that cannot be read is named and the exit code 4" 4 "nothing.jpg" "$coca" embed "$work/nothing.jpg" "$photos/000000.jpg"
expect "nothing to embed is wrong usage" 2 "" "$coca" embed

expect "status counts the photos" 0 "26" "$coca" status
is "and names the folder" grep -qF "$photos" "$work/out"
expect "verify is content" 0 "the catalog is sound" "$coca" verify
is "and measures recall" grep -qF "recall at 10 against the exact scan: 1.0000" "$work/out"
expect "repair finds nothing to do" 0 "dropped 0 damaged" "$coca" verify --repair
