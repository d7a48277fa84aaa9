#!/bin/bash
# Does a test notice? Applies one-line changes from list.tsv to a copy of the sources, one at a time, builds what depends on the changed
# file and runs the tests named beside it, then those of its floor; a change that passes them all has survived and is named.
#
#   make mutants [ONLY=TEXT]     the changes whose line in the list has TEXT
#
# A line of the list: file TAB text TAB changed text TAB tests (as tests/run.sh names them, separated by blanks). The text stands exactly
# once in the file. Verdicts are kept in build/mutants/verdicts.tsv, so that a run that was stopped goes on; remove the file to start anew.
set -u
ONLY=${ONLY:-}
LIMIT=${LIMIT:-300}
list=$PWD/tests/mutants/list.tsv
home=$PWD/build/mutants
copy=$home/coca
verdicts=$home/verdicts.tsv
mkdir -p "$copy"
touch "$verdicts"

# The sources as they stand, and what is built of them already: only what a change touches is built again.
git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents --preserve=timestamps --update -t "$copy"
[ -d "$copy/build" ] || { mkdir "$copy/build" && cp -a build/coca* build/setup.mk build/*.a build/schema build/model build/indexer build/query build/tests "$copy/build/"; }
cd "$copy" || exit 2
export LIMIT COCA_SHARED=/nonexistent

# program TEST: what has to be built for it
program() { case $1 in cli/*) echo build/coca build/tests/tools/scenes ;; *) echo "build/tests/$1" ;; esac }
# passes TEST: builds and runs it; the log is kept
passes() {
    # shellcheck disable=SC2046 # a list of names is meant
    make -s $(program "$1") >"$home/log" 2>&1 || return 2
    case $1 in
        cli/*) timeout -k 5 "$LIMIT" bash "tests/$1.sh" >"$home/log" 2>&1 </dev/null ;;
        *) timeout -k 5 "$LIMIT" "build/tests/$1" >"$home/log" 2>&1 </dev/null ;;
    esac && ! grep -q -e '^not ok' -e '^\[  FAILED  \]' "$home/log"
}
# change FILE TEXT NEW: writes FILE with the text changed; fails unless it stands there once
change() {
    TEXT=$2 NEW=$3 awk 'BEGIN { text = ENVIRON["TEXT"]; new = ENVIRON["NEW"] }
        { at = index($0, text); if (at) { n++; $0 = substr($0, 1, at - 1) new substr($0, at + length(text)); if (index(substr($0, at + length(new)), text)) n++ } print }
        END { exit n != 1 }' "$1" >"$home/changed"
}
# verdict FILE TESTS: the changed file stands in place
verdict() {
    local floor test
    # shellcheck disable=SC2086 # a list of names is meant
    make -s "build/${1%.c}.o" >"$home/log" 2>&1 || { echo "does not build"; return; }
    floor=${1%%/*}
    for test in $2 $(find "tests/$floor" -name '*.c' | sed 's:^tests/::; s:\.c$::' | sort); do
        passes "$test" && continue
        echo "noticed by $test"
        return
    done
    echo survived
}

# Tests that fail already would notice everything.
for test in $(grep -v '^#' "$list" | grep -F -e "$ONLY" | cut -f4 | tr ' ' '\n' | sort -u); do
    grep -qxF "$(printf 'sound\t%s' "$test")" "$verdicts" && continue
    passes "$test" || { cat "$home/log"; echo "$test fails without any change"; exit 2; }
    printf 'sound\t%s\n' "$test" >>"$verdicts"
done

while IFS=$'\t' read -r file text new tests; do
    case $file in '' | '#'*) continue ;; esac
    line=$(printf '%s\t%s\t%s' "$file" "$text" "$new")
    case $line in *"$ONLY"*) ;; *) continue ;; esac
    found=$(LINE=$line awk -F'\t' '$2 FS $3 FS $4 == ENVIRON["LINE"] { found = $1 } END { print found }' "$verdicts")
    if [ -z "$found" ]; then
        if change "$file" "$text" "$new"; then
            cp "$home/changed" "$file"
            found=$(verdict "$file" "$tests")
            cp "$OLDPWD/$file" "$file"
            # make looks at times alone: the file that came back is newer than what was built of the change.
            touch "$file"
        else
            found="stale: the text does not stand there once"
        fi
        printf '%s\t%s\n' "$found" "$line" >>"$verdicts"
    fi
    printf '%s\t%s\n' "$found" "$line"
done <"$list" | tee "$home/result.tsv" | awk -F'\t' '$1 ~ /^noticed/ { n++; next } { printf "%s: %s\n    - %s\n    + %s\n", $2, $1, $3, $4; s += $1 == "survived"; o += $1 != "survived"; fflush() }
    END { printf "%d noticed, %d survived, %d not tried\n", n, s, o }'
