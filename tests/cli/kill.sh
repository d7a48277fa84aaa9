#!/bin/bash
# 400 photographs indexed with kill -9 at ten random moments, then once to the end: the same catalog and the same answers as
# one quiet run. SEED=N repeats a run's moments.
set -u
BUILD=${BUILD:-build}
coca=$BUILD/coca
scenes=$BUILD/tests/tools/scenes
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
RANDOM=${SEED:=$RANDOM}

ok() { echo "ok - $1"; }
not_ok() { echo "not ok - $1"; cat "$work/log"; echo "SEED=$SEED repeats it"; }
check() { # NAME COMMAND...
    local name=$1
    shift
    if "$@" >"$work/log" 2>&1; then ok "$name"; else not_ok "$name"; fi
}

# Three files that cannot be decoded and a few copies stand between the others.
make_photos() {
    "$scenes" "$work/photos" --count 400 --seed 7 --size 128 || return 1
    for n in 000003 000200 000399; do head -c 900 "$work/photos/$n.jpg" >"$work/photos/$n-cut.jpg"; done
    for n in 000005 000210; do cp "$work/photos/$n.jpg" "$work/photos/$n-copy.jpg"; done
    cp "$work/photos/000100.jpg" "$work/photos/zz-late-copy.jpg"
}

# In the background it is the program itself that gets the signal.
index() { # DATABASE
    exec "$coca" index "$work/photos" --db "$1" --batch 2 --jobs 1 >"$work/index.log" 2>&1
}

photos_in() { # DATABASE
    "$coca" status --db "$1" 2>/dev/null | sed -n 's/^photos *\([0-9,]*\).*/\1/p' | tr -d ,
}

# The answers to a few questions as "path score" lines.
answers() { # DATABASE
    for query in "a red circle" "a house at night" "two yellow fish"; do
        "$coca" search "$query" --db "$1" -n 20 --format json $2 |
            sed 's/.*"path":"\([^"]*\)".*"score":\([-0-9.e]*\).*/\1 \2/' || return 1
    done
}

middle() { # COUNTS
    echo "photos in the catalog after each kill: $*"
    for n; do [ "${n:-0}" -gt 0 ] && [ "$n" -lt 406 ] && return; done
    return 1
}

# Rank by rank the scores agree; a photograph may stand elsewhere only among its equals.
same_answers() { # A B TOLERANCE
    [ -s "$1" ] || { echo "no answers"; return 1; }
    paste -d' ' "$1" "$2" | awk -v t="$3" '
        function far(a, b) { return a - b > t || b - a > t }
        { if (NF != 4 || far($2, $4)) { print "rank " NR ": " $0; bad = 1 }
          else if ($1 != $3) swapped++ }
        END { if (swapped > NR / 10) { print swapped " of " NR " photographs stand elsewhere"; bad = 1 }; exit bad }'
}

check "pictures are drawn" make_photos
start=$(date +%s%N)
(index "$work/quiet.db")
[ $? -eq 4 ] && ok "a quiet run ends with 4, as three files cannot be decoded" || { cp "$work/index.log" "$work/log"; not_ok "a quiet run ends with 4"; }
whole=$((($(date +%s%N) - start) / 1000000))

# Each run gets a random part of a quiet run's time, so that some die in the set-up, some in the middle, some near the end.
# One that ends before it is killed begins a new library: ten kills are ten kills.
killed=0
seen=
for _ in $(seq 40); do
    index "$work/killed.db" &
    pid=$!
    ms=$((RANDOM % (whole / 5 + 1) + 10))
    sleep "$(printf '%d.%03d' $((ms / 1000)) $((ms % 1000)))"
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
    if [ $? -eq 137 ]; then
        killed=$((killed + 1))
        seen="$seen $(photos_in "$work/killed.db")"
        [ $killed -lt 10 ] || break
    else
        rm -f "$work"/killed.db*
    fi
done
echo "killed $killed times after at most $((whole / 5)) of $whole ms; photos in the catalog each time:$seen"
echo "$killed kills hit a running process" >"$work/log"
check "ten kills hit" [ $killed -eq 10 ]
check "some hit in the middle of the work" middle $seen
(index "$work/killed.db")
[ $? -eq 4 ] && ok "the last run ends as the quiet one did" || { cp "$work/index.log" "$work/log"; not_ok "the last run ends as the quiet one did"; }
check "the catalogs are the same" "$BUILD/tests/tools/same_catalog" "$work/quiet.db" "$work/killed.db"
check "the killed catalog is sound" "$coca" verify --db "$work/killed.db"

answers "$work/quiet.db" --no-rerank >"$work/quiet.txt"
answers "$work/killed.db" --no-rerank >"$work/killed.txt"
check "searches give the same answers" same_answers "$work/quiet.txt" "$work/killed.txt" 0.001
answers "$work/quiet.db" "" >"$work/quiet.txt"
answers "$work/killed.db" "" >"$work/killed.txt"
check "reranked searches give the same answers" same_answers "$work/quiet.txt" "$work/killed.txt" 0.05
