#!/bin/bash
# `coca match` as a user meets it.
set -u
. tests/cli/drawn.inc

expect "without a photo it is wrong usage" 2 "takes photographs" "$coca" match
expect "--rerank contradicts --no-rerank" 2 "contradicts" "$coca" match x --rerank --no-rerank
expect "without texts it says how to add some" 3 "hint: coca texts add" "$coca" match "$photos/000000.jpg"
captions >"$work/captions.tsv"
"$coca" texts add "$work/captions.tsv" -q
printf 'a dog\na red circle\n' | "$coca" texts add - --collection words -q

# In 8 bits the last digits depend on what is computed together.
expect "texts are found" 0 "  1  " "$coca" match --precision fp32 "$photos/000003.jpg"
is "ten of them" [ "$(wc -l <"$work/out")" = 10 ]
cp "$work/out" "$work/first"
expect "again" 0 "" "$coca" match --precision fp32 "$photos/000003.jpg"
is "and the same, from what was kept" cmp "$work/out" "$work/first"
cp "$photos/000003.jpg" "$work/copy.jpg"
expect "a copy that is not indexed" 0 "" "$coca" match --precision fp32 "$work/copy.jpg"
is "has the same answer" cmp "$work/out" "$work/first"
expect "similarity alone" 0 '"caption_logprob":null,"prior_logprob":null' "$coca" match "$photos/000003.jpg" --no-rerank -n 3 --format json
is "is JSON" "$json_check" <"$work/out"
expect "with likelihoods" 0 '"tied_to":"'"$photos/" "$coca" match "$photos/000003.jpg" --rerank=5 --format json
is "is JSON, too" "$json_check" <"$work/out"
expect "a collection" 0 "a red circle" "$coca" match "$photos/000003.jpg" --collection words
is "is searched alone" [ "$(wc -l <"$work/out")" = 2 ]
expect "a collection that is not there is no result" 3 "no collection" "$coca" match "$photos/000003.jpg" --collection none
expect "a file that cannot be read is skipped" 4 "nofile.jpg" "$coca" match "$photos/000003.jpg" "$work/nofile.jpg"
expect "alone, it is a failure" 1 "nofile.jpg" "$coca" match "$work/nofile.jpg"
rm "$COCA_DB"*
printf 'a dog\n' | "$coca" texts add - -q
expect "texts need no indexed photo" 0 "a dog" "$coca" match "$photos/000003.jpg"
