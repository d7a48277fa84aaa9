#!/bin/sh
# The main job, shown: a folder of photographs is indexed and searched, and the answers become web pages.
#   BUILD   the build folder        PHOTOS   a folder of photographs; else ~/Pictures if it has any, else drawings made here
#   LEAST   how many of the drawings found first must be what was asked for (default 2 of 6), or the demo fails
# Everything it writes is below $BUILD/demo; the photographs are only read.
set -eu
BUILD=${BUILD:-build}
coca=$BUILD/coca
scenes=$BUILD/tests/tools/scenes
out=$BUILD/demo
mkdir -p "$out"
drawn=

has_photos() {
    [ -d "$1" ] && [ -n "$(find "$1" -type f \( -iname '*.jpg' -o -iname '*.jpeg' -o -iname '*.png' -o -iname '*.webp' \) -print 2>/dev/null | head -n 1)" ]
}

photos=${PHOTOS:-}
if [ -n "$photos" ]; then
    [ -d "$photos" ] || { echo "demo: '$photos' is not a folder" >&2; exit 2; }
elif has_photos "${HOME:-/nonexistent}/Pictures"; then
    photos=$HOME/Pictures
else
    photos=$out/drawings
    drawn=1
    captions=$out/captions
    rm -rf "$photos" "$captions"
    "$scenes" "$photos" --count 120 --seed 1 --size 256
    # Beside the drawings they would be found by, too; here they say whether what was found is right.
    mkdir -p "$captions"
    mv "$photos"/*.txt "$captions"
fi

if [ -n "$drawn" ]; then
    set -- "four red houses" "a turquoise butterfly" "a yellow car on the sea" "a purple apple at night" "a red cat next to a rocket" \
        "a red cross above a blue square"
else
    set -- "people outdoors" "a dog" "water" "food on a table" "a building"
fi

run() { printf '\n$ coca'; for word; do case $word in *[!A-Za-z0-9_./=-]*) printf ' "%s"' "$word" ;; *) printf ' %s' "$word" ;; esac; done; printf '\n'; }

COCA_DB=$out/library.db
export COCA_DB
run index "$photos"
"$coca" index "$photos" || [ $? -eq 4 ] # 4: some files could not be read; they were named

{
    echo '<!doctype html><meta charset="utf-8"><title>coca: a few searches</title>'
    echo '<style>body{font:16px system-ui;margin:2em}iframe{width:100%;height:32em;border:1px solid #ccc}</style>'
    echo '<h1>A few searches</h1>'
} >"$out/index.html"
# Whether the first drawing found has all colours and things of the query in its caption.
is_right() {
    first=$("$coca" search "$1" -n 1 --quiet --format paths0 | tr -d '\0')
    caption=$(cat "$captions/$(basename "$first" .jpg).txt")
    for word in $1; do
        case $word in
        a|the|at|on|to|of|in|next|above) ;;
        *) case $caption in *"$word"*) ;; *) return 1 ;; esac ;;
        esac
    done
}

n=0
right=0
for query; do
    n=$((n + 1))
    run search "$query" -n 5
    "$coca" search "$query" -n 5 --html "$out/search-$n.html" || [ $? -eq 3 ]
    if [ -n "$drawn" ] && is_right "$query"; then right=$((right + 1)); fi
    printf '<iframe src="search-%d.html" title="search %d"></iframe>\n' $n $n >>"$out/index.html"
done

printf '\nThe pages: %s\n' "$out/index.html"
if [ -n "$drawn" ]; then
    echo "$right of $n first results are what was asked for."
    echo "These are drawings, made because no photographs were found. Try: make demo PHOTOS=/a/folder/of/photographs"
    if [ $right -lt "${LEAST:-2}" ]; then
        echo "demo: fewer than ${LEAST:-2} of $n first results are right: something is broken" >&2
        exit 1
    fi
fi
