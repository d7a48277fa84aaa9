#!/bin/bash
# Teaching labels and answers on drawings, as coca help tune shows it, and what is done with a head.
set -u
. tests/cli/support.inc

# Drawings, and a folder for each label: those with a star, those without.
"$scenes" "$work/drawings" --count 120 --seed 5 --size 96 >"$work/out" 2>&1 || { cat "$work/out"; echo "not ok - pictures are drawn"; }
mkdir -p "$photos/star" "$photos/other"
for text in "$work/drawings"/*.txt; do
    photo=$(basename "$text" .txt).jpg
    if head -n 1 "$text" | grep -qwE "stars?"; then label=star; else label=other; fi
    cp "$work/drawings/$photo" "$photos/$label/"
    printf '%s\t%s\n' "drawings/$photo" "$label" >>"$work/labels.tsv"
    printf '%s\t%s\t%s\n' "drawings/$photo" "is there a star?" "$label" >>"$work/answers.tsv"
done
"$coca" index "$photos" >"$work/out" 2>&1 || { cat "$work/out"; echo "not ok - pictures are indexed"; }
"$coca" status >"$work/out" 2>&1
is "indexing keeps what the encoder makes of them" grep -q "encoder tokens 120" "$work/out"

expect "without labels or answers it is wrong usage" 2 "labels" "$coca" tune
expect "so it is without photographs" 2 "--pick" "$coca" tune labels
expect "a folder of folders is learned from stored tokens" 0 "120 with stored tokens, 0 looked at now" \
    "$coca" tune labels "$photos" --name drawings --out "$work/drawings.head" --epochs 8
is "it says how well it does" grep -q "held out: 11 photos" "$work/out"
is "with a table of what was taken for what" grep -q 'is .* said' "$work/out"
is "and installs the head" grep -q "120 photos of the library are labelled" "$work/log"
expect "which is listed" 0 "2 labels, learned from" "$coca" heads list
expect "with its labels" 0 "star" "$coca" heads list drawings

mv "$photos" "$work/away"
expect "its labels are searched for without a photograph" 0 ".jpg" "$coca" search label:star -n 50
cp "$work/out" "$work/stars"
is "the most probable first" sh -c "awk '{print \$2}' '$work/stars' | tr -d % | sort -rnc"
expect "and counted alike" 0 "$(wc -l <"$work/stars")  star" "$coca" heads list drawings
expect "what has a label and what has not are all" 0 "" "$coca" search -label:star -n 1000
is "photographs" [ $(($(wc -l <"$work/out") + $(wc -l <"$work/stars"))) = 120 ]
expect "the option says the same" 0 "" "$coca" search --not-label star -n 1000
is "as the word" [ $(($(wc -l <"$work/out") + $(wc -l <"$work/stars"))) = 120 ]
expect "labels go with words" 0 ".jpg" "$coca" search "a red star" label:star@0.6 -n 3 --no-rerank --format json
is "of which JSON tells" "$json_check" <"$work/out"
expect "inside of words, too" 0 ".jpg" "$coca" search "a circle label:other" -n 3 --no-rerank
expect "a label of no head is named" 2 "there are other, star" "$coca" search label:fish
expect "a probability is one" 2 "probability" "$coca" search label:star@7
expect "the whole library is classified from stored tokens" 0 "star" "$coca" classify --all --head drawings -n 1
mv "$work/away" "$photos"

"$scenes" "$work/more" --count 6 --seed 9 --size 96 >/dev/null 2>&1 && rm "$work/more"/*.txt && mv "$work/more" "$photos/more"
"$coca" index "$photos" >"$work/out" 2>&1
mv "$photos/more" "$work/more"
expect "what is indexed later is labelled, too" 0 "" "$coca" search label:star -n 1000
stars=$(wc -l <"$work/out")
expect "each by one label" 0 "" "$coca" search label:other -n 1000
is "of the two" [ $((stars + $(wc -l <"$work/out"))) = 126 ]
mv "$work/more" "$photos/more"

expect "a file is classified by the head's file" 0 "star" "$coca" classify "$photos/more/000000.jpg" --head "$work/drawings.head"
cp "$work/out" "$work/by-file"
expect "and by its name" 0 "star" "$coca" classify "$photos/more/000000.jpg" --head drawings
is "alike" cmp "$work/out" "$work/by-file"
expect "without a catalog" 0 "star" "$coca" classify "$photos/more/000000.jpg" --head "$work/drawings.head" --db "$work/none.db"
# Stored tokens have 8 bits; those of a photograph that is encoded now have all.
is "too, within a percent" sh -c "paste '$work/out' '$work/by-file' | awk '{ d = \$2 - \$6; if (\$4 != \$8 || d > 1 || d < -1) exit 1 }'"
expect "a head has its own labels" 2 "own labels" "$coca" classify "$photos/more/000000.jpg" --head drawings --labels a,b

"$coca" index "$photos" --db "$work/small.db" --encoder-budget 20K >"$work/out" 2>&1
expect "photographs without stored tokens are encoded again, and that is said" 0 "were encoded again" \
    "$coca" heads add "$work/drawings.head" --db "$work/small.db"
expect "with the same labels" 0 "" "$coca" search label:star -n 1000 --db "$work/small.db"
is "as from stored ones" [ "$stars" = "$(wc -l <"$work/out")" ]
expect "a linear probe from a table" 0 "held out" "$coca" tune labels --tsv "$work/labels.tsv" --linear --name probe --epochs 10
expect "is a head, too" 0 "linear" "$coca" heads list probe
expect "two heads with a label are told apart" 2 "drawings, probe" "$coca" search label:star
expect "by their names" 0 ".jpg" "$coca" search label:probe/star
expect "a head is forgotten" 0 "is forgotten" "$coca" heads forget probe
expect "with its labels" 0 ".jpg" "$coca" search label:star -n 2
expect "photographs of the library are picked, and others stand beside them" 0 "may have several or none" \
    "$coca" tune labels --pick starry="$photos/star" --rest=20 --epochs 3 --name picked
expect "words pick, too" 0 "held out" "$coca" tune labels --pick "round=a circle" --pick "starry=a star" --pick-count 20 --epochs 2
expect "one label alone cannot be learned" 2 "--rest" "$coca" tune labels --pick starry="$photos/star"
printf 'drawings/nofile.jpg\tstar\n' >>"$work/labels.tsv"
expect "a photograph that cannot be read is named" 4 "nofile.jpg" "$coca" tune labels --tsv "$work/labels.tsv" --epochs 2

cp -r model/default "$work/model" && printf ' ' >>"$work/model/open_clip_config.json"
expect "a head of another model is refused" 2 "was made for the model" \
    "$coca" classify "$photos/more/000000.jpg" --head "$work/drawings.head" --model "$work/model"
head -c 3000 "$work/drawings.head" >"$work/cut.head"
expect "a damaged one, too" 1 "cannot use the head" "$coca" classify "$photos/more/000000.jpg" --head "$work/cut.head"
expect "and a model is no head" 1 "it is a model" \
    "$coca" classify "$photos/more/000000.jpg" --head model/default/open_clip_model.safetensors

expect "answers are taught" 0 "2 answers" "$coca" tune answers "$work/answers.tsv" --out "$work/answers.head" --name answers --epochs 3
expect "and given" 0 "other" "$coca" ask "$photos/more/000000.jpg" "is there a star?" --head answers --format json
is "as JSON" "$json_check" <"$work/out"
expect "a head that answers does not label" 2 "coca ask" "$coca" classify "$photos/more/000000.jpg" --head "$work/answers.head"
expect "nor the other way round" 2 "coca classify" "$coca" ask "$photos/more/000000.jpg" "what?" --head drawings
expect "choices need no head" 0 "a red star" "$coca" ask "$photos/more/000000.jpg" "a picture of" --choices "a red star,a house,three fish"
is "their probabilities add up" [ "$(awk '{s += $2} END {print (s > 99.9 && s < 100.1)}' "$work/out")" = 1 ]
expect "without either it is wrong usage" 2 "--choices" "$coca" ask "$photos/more/000000.jpg" "what?"
expect "the library stays sound" 0 "" "$coca" verify
