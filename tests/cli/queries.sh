#!/bin/bash
# Queries of words and photographs, matches, explanations, thumbnails and pages, as a user meets them, on pictures drawn here.
set -u
. tests/cli/support.inc

first() { "$coca" search -q -n 1 --format json "$@" | sed 's/.*"path":"\([^"]*\)".*/\1/'; }
field() { local name=$1; shift; "$coca" search -q -n 1 --format json "$@" | sed "s/.*\"$name\":\([-0-9.e]*\).*/\1/"; }
less() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a + 0 < b + 0) }' || { echo "$1 is not less than $2"; return 1; }; }

"$scenes" "$photos" --count 60 --seed 4 --size 96 >"$work/log" 2>&1 && "$coca" index -q "$photos" || { cat "$work/log"; echo "not ok - pictures are indexed"; }
a=$photos/000003.jpg b=$photos/000017.jpg

# A photograph as the query: itself first, by its stored embedding, wherever the same bytes lie.
is "a photo finds itself" [ "$(first --add "$a")" = "$a" ]
cp "$a" "$work/copy.jpg"
is "and so does a copy outside the library" [ "$(first --add "$work/copy.jpg")" = "$a" ]
is "a photo may be the word of the query" [ "$(first "$a")" = "$a" ]
expect "similar takes a file outside the library" 0 "$a" "$coca" similar "$work/copy.jpg" -n 1
is "a weight moves the query" [ "$(first --add "$a" --add "9:$b")" = "$b" ]
is "order does not matter to the sum" [ "$(first "9:$b" + "$a")" = "$b" ]
less_with_sub() { less "$(field similarity --add "$a" --sub "0.5:$b")" "$(field similarity --add "$a")"; }
is "what is subtracted changes the query" less_with_sub
# cos(a+b, a) = cos(a+b, b) for unit embeddings, whatever the two are.
"$coca" search -q --format json -n 60 --add "$a" --add "$b" >"$work/sum"
same() { [ "$(for p in "$a" "$b"; do grep -F "\"$p\"" "$work/sum" | sed 's/.*"similarity":\([0-9.]*\).*/\1/'; done | awk '{ x[NR] = $1 } END { d = x[1] - x[2]; print NR == 2 && d * d < 1e-6 }')" = 1 ]; }
is "both photos of a sum are equally near" same

expect "a query that cancels itself out is wrong usage" 2 "cancels itself out" "$coca" search tree --sub tree
expect "photos cancel, too" 2 "cancels itself out" "$coca" search --add "$a" --sub "$work/copy.jpg"
expect "subtracting alone is wrong usage" 2 "only subtracts" "$coca" search --sub tree
expect "nothing is no query" 2 "empty" "$coca" search
expect "a photo that is not there is named" 2 "$work/none.jpg" "$coca" search --add "$work/none.jpg"
echo "no picture" >"$work/bad.jpg"
expect "one that cannot be read, too" 1 "$work/bad.jpg" "$coca" search --add "$work/bad.jpg"
cp "$a" "$work/tree"
(cd "$work" && "$coca" search -n 1 --add tree) >"$work/out" 2>&1
is "a file that is named like a word is said to be taken" grep -qF "text:tree" "$work/out"
is "words still find when words and photos mix" [ -n "$(first "a red boat" --add "0.1:$a" --sub text:night)" ]

# Matches: sense and nonsense on the same library, on one scale.
worst=1
for query in "a boat on the water" "a green field and a blue sky" "a large red house"; do
    m=$(field match "$query")
    worst=$(awk -v a="$worst" -v b="$m" 'BEGIN { print (a < b ? a : b) }')
done
best=0
for query in "asdkj qwoieu zxcv" "mnbvc poiuy qqq" "lorem ipsum dolor sit amet"; do
    m=$(field match "$query")
    best=$(awk -v a="$best" -v b="$m" 'BEGIN { print (a > b ? a : b) }')
done
is "the best nonsense matches less than the worst sense ($best, $worst)" less "$best" "$worst"
expect "nonsense does not pass --min-score" 3 "matches by 0.4" "$coca" search "asdkj qwoieu zxcv" --min-score 0.4
expect "sense does" 0 "$photos" "$coca" search "a boat on the water" --min-score 0.4
expect "a score is from 0 to 1" 2 "--min-score takes" "$coca" search boat --min-score 40
expect "a model to rerank with that is not there is a fault" 1 "cannot open the model '/nope'" "$coca" search boat --rerank-model /nope
"$coca" search -q "a boat on the water" -n 60 --format json >"$work/all"
least=$(sed 's/.*"match":\([0-9.e-]*\).*/\1/' "$work/all" | sort -g | sed -n 30p)
kept=$(sed 's/.*"match":\([0-9.e-]*\).*/\1/' "$work/all" | awk -v x="$least" '$1 >= x' | wc -l)
is "--min-score keeps exactly what matches by as much" [ "$("$coca" search -q "a boat on the water" -n 60 --min-score "$least" | wc -l)" -eq "$kept" ]
is "a photo has a match without reranking" less 0 "$(field match boat --no-rerank)"

# Why. The figures of the words add up to the likelihood minus its mean: over all photos to nothing.
"$coca" search -q "a red boat" -n 60 --rerank=60 --format json --explain >"$work/why"
sums() { sed 's/"above_mean":/\n@/g' "$work/why" | sed -n 's/^@\([-0-9.e]*\).*/\1/p' | awk '{ s += $1; n++ } END { exit !(n == 240 && s * s < 1e-4) }'; }
is "four words for sixty photos, and their figures add up to nothing" sums
expect "the explanation stands under the photo" 0 "red " "$coca" search "a red boat" -n 2 --explain
expect "without reranking there is similarity" 0 "by similarity alone" "$coca" search "a red boat" -n 2 --explain --no-rerank
is "no explanation unless asked" [ "$("$coca" search -q boat -n 3 | wc -l)" -eq 3 ]

# Thumbnails, colours, pages.
esc=$(printf '\033')
"$coca" search boat -n 2 --preview >"$work/out"
is "no thumbnails and no colours where there is no terminal" sh -c "[ -s '$work/out' ] && ! grep -q '$esc' '$work/out'"
"$coca" search boat -n 2 --preview=sixel >"$work/out"
is "thumbnails where they are forced" [ "$(grep -ac "${esc}Pq" "$work/out")" -eq 2 ]
expect "thumbnails are for text" 2 "--format text" "$coca" search boat --preview=kitty --format json
expect "a protocol that is unknown is refused" 2 "--preview takes" "$coca" search boat --preview=ascii
if command -v script >/dev/null; then
    TERM=xterm script -qc "$coca search -q boat -n 1" /dev/null >"$work/out" 2>&1 </dev/null
    is "a terminal has colours" grep -q "${esc}\[1m" "$work/out"
    NO_COLOR=1 TERM=xterm script -qc "$coca search -q boat -n 1" /dev/null >"$work/out" 2>&1 </dev/null
    is "unless NO_COLOR is set" sh -c "! grep -q '$esc' '$work/out' && grep -q jpg '$work/out'"
else
    echo "skip - a terminal has colours (script is not installed)"
fi
expect "a page of similar photos is written" 0 "" "$coca" similar "$a" -n 3 --html "$work/page.html"
is "with pictures and nothing from elsewhere" sh -c "[ \$(grep -c 'loading=\"lazy\"' '$work/page.html') -eq 3 ] && ! grep -q http '$work/page.html'"
