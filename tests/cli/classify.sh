#!/bin/bash
# `coca classify` as a user meets it.
set -u
. tests/cli/drawn.inc

expect "without a photo it is wrong usage" 2 "--all" "$coca" classify --labels a,b
expect "so it is without labels" 2 "--labels" "$coca" classify "$photos/000001.jpg"
expect "and with two lists of them" 2 "one of them" "$coca" classify "$photos/000001.jpg" --labels a --labels-file b
expect "a label twice is wrong usage" 2 "given twice" "$coca" classify "$photos/000001.jpg" --labels a,b,a
expect "labels are ranked" 0 "  1  " "$coca" classify "$photos/000001.jpg" --labels "dog,cat, tree,circle,house,fish,boat"
is "the best five of them" [ "$(wc -l <"$work/out")" = 5 ]
cp "$work/out" "$work/first"
printf 'dog\ncat\ntree\ncircle\nhouse\nfish\nboat\n' >"$work/labels"
expect "a file of labels" 0 "" "$coca" classify "$photos/000001.jpg" --labels-file "$work/labels"
is "is as good" cmp "$work/out" "$work/first"
cp "$photos/000001.jpg" "$work/copy.jpg"
rm -rf "$work/none"
expect "without a catalog" 0 "" "$coca" classify "$work/copy.jpg" --labels-file "$work/labels" --db "$work/none.db"
# The rest are of no probability, and their order is a matter of what was encoded beside the photograph.
is "the same two lead" cmp <(head -n 2 "$work/out" | awk '{print $4}') <(head -n 2 "$work/first" | awk '{print $4}')
is "and no catalog is made" [ ! -e "$work/none.db" ]
printf 'Paris, France\na dog\n' >"$work/commas"
expect "a label may have a comma in a file" 0 "Paris, France" "$coca" classify "$photos/000001.jpg" --labels-file "$work/commas"
expect "probabilities as JSON" 0 '"probability":' "$coca" classify "$photos/000001.jpg" --labels a,b --format json
is "are valid" "$json_check" <"$work/out"
is "and add up to 1" [ "$(grep -o '"probability":[0-9.e-]*' "$work/out" | cut -d: -f2 | awk '{s += $1} END {print (s > 0.999999 && s < 1.000001)}')" = 1 ]
printf 'no hole\n' >"$work/templates"
expect "a template needs a hole" 2 "{}" "$coca" classify "$photos/000001.jpg" --labels a,b --templates "$work/templates"
expect "a file that cannot be read is skipped" 4 "nofile.jpg" "$coca" classify "$photos/000001.jpg" "$work/nofile.jpg" --labels a,b
mv "$photos" "$work/away"
expect "the whole library is classified from its embeddings" 0 "000023.jpg" "$coca" classify --all --labels circle,tree -n 1 --format json
is "each photo once" [ "$(wc -l <"$work/out")" = 24 ]
expect "an empty library is no result" 3 "hint: coca index" "$coca" classify --all --labels a,b --db "$work/none.db"
