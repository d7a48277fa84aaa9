#!/bin/bash
# What work costs as it grows: processor seconds at doubling sizes. A cost that is linear doubles with them; one that is quadratic
# quadruples, and is marked.
#   bash tests/bench/costs.sh [NAME...]        the cases named, else all; BUILD: the build folder; SIZES="500 1000" instead of each case's own
# Prints a row for each case, with FORMAT=json a JSON object a line as scale does, and exits with 1 when one grew by more than 2.5 at its last doubling.
#
# A case is a function that is given a size, makes a library of it ($photos, $COCA_DB; both are new) and ends with `measure COMMAND...`;
# then a line `cost NAME "what" "sizes" FUNCTION`. Times of other commands do not count. Pictures are empty files: what is measured is work
# on names and rows.
set -u
BUILD=${BUILD:-build}
coca=$(realpath "$BUILD")/coca
base=$(mktemp -d)
trap 'rm -rf "$base"' EXIT
unset COCA_MODEL
TIMEFORMAT='%U %S'
export LC_ALL=C COCA_DB
names=$*
json=$([ "${FORMAT:-}" != json ] || echo json)
grew=0

# Exit codes that say "not all", "nothing found" count as done.
prepare() { # COMMAND...
    "$@" >"$base/output" 2>&1 </dev/null
    case $? in 0 | 3 | 4) ;; *) echo "costs: '$*' failed" >&2; tail -n 3 "$base/output" >&2; exit 1 ;; esac
}
measure() { # COMMAND...
    { time prepare "$@" 2>&3; } 3>&2 2>"$base/time"
    seconds=$(awk '{ printf "%.2f", $1 + $2 }' "$base/time")
}
cost() { # NAME WHAT SIZES FUNCTION
    local size values= last=0 ratio=0
    case " $names " in "  " | *" $1 "*) ;; *) return ;; esac
    for size in ${SIZES:-$3}; do
        photos=$base/$1-$size/photos
        COCA_DB=$base/$1-$size/library.db
        mkdir -p "$photos"
        "$4" "$size"
        values="$values${values:+ / }$seconds"
        ratio=$(awk -v a="$last" -v b="$seconds" 'BEGIN { printf "%.1f", (a > 0 ? b / a : 0) }')
        last=$seconds
        rm -rf "$base/$1-$size"
        [ -z "$json" ] || printf '{"name":"costs.%s","photos":%s,"value":%s,"unit":"s"}\n' "$1" "$size" "$seconds"
    done
    # A tenth of a second is mostly the program's start.
    if awk -v r="$ratio" -v s="$last" 'BEGIN { exit !(r > 2.5 && s > 0.2) }'; then ratio="**$ratio**"; grew=1; fi
    [ -n "$json" ] || printf '| %s | %s | %s | %s | %s |\n' "$1" "$2" "$(echo ${SIZES:-$3} | sed 's: : / :g')" "$values" "$ratio"
}
empty_files() { # FOLDER COUNT: DIR/000001.jpg ...
    (cd "$1" && seq -f '%06.0f.jpg' "$2" | xargs touch)
}

# --- cases

named_files() {
    empty_files "$photos" "$1"
    measure "$coca" index "$photos"/*.jpg
}
many_roots() {
    local i
    for ((i = 1; i <= $1; i++)); do mkdir "$photos/$i" && echo x >"$photos/$i/x.jpg"; done
    prepare "$coca" index "$photos"/*
    measure "$coca" index
}
# A name may be another's beginning, and a sidecar anybody's: what lies beside a photo is looked for by name.
long_names() {
    local stem
    stem=$(printf 'holiday%.0s' {1..30})
    (cd "$photos" && seq -f "$stem-%06.0f.jpg" "$1" | xargs touch && seq -f "$stem-%06.0f.txt" "$1" | while read -r name; do echo words >"$name"; done)
    measure "$coca" index "$photos"
}

# Many files of the same bytes, of which some are gone.
gone_copies() {
    "$BUILD/tests/tools/scenes" "$base/one" --count 1 --size 64 >"$base/output" 2>&1 && mv "$base/one/000000.jpg" "$photos/000001.jpg" || exit 1
    rm -rf "$base/one"
    (cd "$photos" && seq -f '%06.0f.jpg' 2 "$1" | xargs -n 1000 sh -c 'for f; do ln -f 000001.jpg "$f"; done' -)
    prepare "$coca" index "$photos"
    (cd "$photos" && seq -f '%06.0f.jpg' 1 $(($1 / 6)) | xargs rm)
    measure "$coca" index "$photos"
}

[ -n "$json" ] || printf '| case | what | sizes | processor seconds | growth at the last doubling |\n|---|---|---|---|---:|\n'
cost named "\`coca index *.jpg\`, files named" "500 1000 2000 4000" named_files
cost roots "nothing to do over many roots" "500 1000 2000" many_roots
cost gone "copies of one content, a sixth of them gone" "2000 4000 8000" gone_copies
cost names "photos with long alike names and a .txt each" "1000 2000 4000" long_names
exit $grew
