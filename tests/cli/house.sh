#!/bin/bash
# The house keeps its rules: tests/check-deps.sh passes on the sources as they are and names each violation that is planted into a copy
# of them, and what the Makefile builds and tests/run.sh runs is all that is there.
set -u
BUILD=${BUILD:-build}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
house=$work/house
floors='schema model indexer query'
mkdir "$house"
find $floors coca.c tests/check-deps.sh \( -name '*.[ch]' -o -name README.md -o -name check-deps.sh \) -exec cp --parents {} "$house" \;
rooms=$(sed -n "/^rooms='/,/^'/p" tests/check-deps.sh | grep -o '[a-z]*/[a-z]*')

check_house() { sh "$house/tests/check-deps.sh" "$house" >"$work/out" 2>&1; }
if check_house; then echo "ok - the clean copy keeps the rules"; else cat "$work/out"; echo "not ok - the clean copy keeps the rules"; fi
# Lines that no rule looks at are left out from here on, as it is read some 150 times.
find "$house" -name '*.[ch]' -exec sed -i -s -n '1p; /include\|sqlite3_\|exit\|abort/Ip' {} +

planted=0 missed=0
plant() { # FILE LINE WORDS: a line at the end of a file must be found there and explained in these words
    planted=$((planted + 1))
    cp "$house/$1" "$work/kept"
    printf '%s\n' "$2" >>"$house/$1"
    if check_house || ! grep -q -F "$1:" "$work/out" || ! grep -q -F -e "$3" "$work/out"; then
        cat "$work/out"
        echo "not ok - '$2' is found in $1: $3"
        missed=$((missed + 1))
    fi
    cp "$work/kept" "$house/$1"
}
said() { # NAME: of what was planted since the last time
    if [ $planted -eq 0 ]; then echo "not ok - $1: nothing was planted"; elif [ $missed -eq 0 ]; then echo "ok - $1 ($planted planted)"; fi
    planted=0 missed=0
}
rooms_of() { printf '%s\n' $rooms | grep "^$1/"; }
source_in() { find "$1" -maxdepth 1 -name '*.c' | sort | head -n 1; }
sources_of() { # FLOOR: a source of a room that is not commands, and one of commands where there is one
    source_in "$(rooms_of "$1" | grep -v commands | head -n 1)"
    [ ! -d "$1/commands" ] || source_in "$1/commands"
}
headers_of() { find "$1" -maxdepth 1 -name '*.h' | sort; }
shown() { # HEADER: is it on its room's face?
    sed -n '/^Face:/,/^[ \t]*$/p' "$(dirname "$1")/README.md" | grep -q -F "\`$(basename "$1")\`"
}
below() { # FLOOR: those that it may include
    case $1 in schema) ;; model) echo schema ;; *) echo schema model ;; esac
}

# 1. Floors against each other.
for floor in $floors; do
    for other in $floors; do
        case " $floor $(below "$floor") " in *" $other "*) continue ;; esac
        for source in $(sources_of "$floor"); do
            plant "$source" "#include \"$(headers_of "$(rooms_of "$other" | head -n 1)" | head -n 1)\"" "$floor does not include $other"
        done
    done
done
plant "$(source_in model/math)" '  #  include  "query/find/search.h"' "model does not include query"
said "no floor includes one above or beside it"
for source in coca.c $(for floor in $floors; do sources_of "$floor"; done); do
    plant "$source" '#include "tests/support.h"' "the program does not include tests"
done
said "nothing includes tests"

# 2. Each room includes none that comes after it.
for floor in $floors; do
    before=
    for room in $(rooms_of "$floor"); do
        header=$(headers_of "$room" | head -n 1)
        [ -z "$before" ] || plant "$(source_in "$before")" "#include \"$header\"" "$before comes before $room"
        before=$room
    done
    first=$(rooms_of "$floor" | head -n 1)
    plant "$(source_in "$first")" "#include \"$header\"" "$first comes before $room"
done
said "no room includes one that comes after it"

# 3. Headers that a room does not show.
for floor in model indexer query; do
    for other in $(below "$floor"); do
        for room in $(rooms_of "$other"); do
            # Of schema, model sees base alone, which is another rule.
            if [ "$floor" = model ] && [ "$room" != schema/base ]; then continue; fi
            for header in $(headers_of "$room"); do
                shown "$header" && continue
                plant "$(sources_of "$floor" | head -n 1)" "#include \"$header\"" "not on the face of $room"
                break
            done
        done
    done
done
for floor in model indexer query; do
    for room in $(rooms_of $floor); do
        for header in $(headers_of "$room"); do
            shown "$header" && continue
            plant coca.c "#include \"$header\"" "not on the face of $room"
            break
        done
    done
done
said "another floor's headers are included from its faces alone"

# 4. model/ includes schema/base alone.
for header in schema/catalog/catalog.h schema/vectors/vectors.h schema/cli/options.h; do
    plant "$(source_in model/math)" "#include \"$header\"" "model includes schema/base alone"
done
plant "$(source_in model/commands)" '#include "schema/catalog/catalog.h"' "model includes schema/base alone"
said "model knows no catalog, no vectors and no command line"

# 5. and 6.
for floor in model indexer query; do
    for source in $(sources_of "$floor"); do
        plant "$source" 'static int n(void *db) { return sqlite3_changes(db); }' "SQL stays in schema/catalog"
    done
done
said "SQL stays where the catalog is"
for floor in $floors; do
    for call in 'exit(1)' 'exit (1)' '_exit(1)' '_Exit(1)' 'quick_exit(1)' 'abort()'; do
        plant "$(sources_of "$floor" | head -n 1)" "void leave(void) { $call; }" "only a command may end the process"
    done
done
said "nothing below the commands ends the process"

# 7. and how headers are named.
for floor in $floors; do
    plant "$(sources_of "$floor" | head -n 1)" '#include "memory.h"' "an include names its folder"
    plant "$(sources_of "$floor" | head -n 1)" "#include \"$floor/nowhere/memory.h\"" "there is no room $floor/nowhere"
done
said "includes name a room"
for floor in $floors; do
    for file in $floor/attic/old.c $floor/old.h; do
        mkdir -p "$house/$(dirname "$file")"
        : >"$house/$file"
        plant "$file" '' "is not among the rooms"
        rm "$house/$file"
    done
    rmdir "$house/$floor/attic"
done
said "every folder with sources is a room"
for room in $rooms; do
    planted=$((planted + 1))
    mv "$house/$room/README.md" "$work/kept"
    if check_house || ! grep -q -x "$room has no README.md" "$work/out"; then
        echo "not ok - $room without a README.md is found"
        missed=$((missed + 1))
    fi
    mv "$work/kept" "$house/$room/README.md"
done
said "every room has a README.md"

if check_house; then echo "ok - the copy is clean again"; else cat "$work/out"; echo "not ok - the copy is clean again"; fi

# What the Makefile finds, against the files: a wildcard that finds nothing is noticed here.
made() { MAKEFLAGS='' make -s --no-print-directory --eval="list: ; @printf '%s\\n' \$($1)" list 2>/dev/null; }
same() { # NAME LEAST, the two lists in $work/found and $work/made
    local n
    sort -o "$work/found" "$work/found"
    sort -o "$work/made" "$work/made"
    n=$(wc -l <"$work/found")
    if [ "$n" -ge "$2" ] && diff "$work/found" "$work/made"; then echo "ok - $1 ($n)"; else echo "not ok - $1 ($n there)"; fi
}
programs() { find tests/schema tests/model tests/indexer tests/query -name '*.c' | sed 's/\.c$//'; }
targets() { find tests/fuzz -name '*.c' | sed 's/\.c$//' | grep -v -x -e tests/fuzz/replay -e tests/fuzz/support; }
programs >"$work/found"
made TEST_PROGRAMS | sed 's/^.*\(tests\/\)/\1/' >"$work/made"
same "each test program is built" 50
sed 's/^tests\///' "$work/found" >"$work/programs"
targets >"$work/found"
made FUZZ_NAMES | sed 's/^/tests\/fuzz\//' >"$work/made"
same "each fuzz target is built" 25
find tests/tools -name '*.c' | sed 's/\.c$//' >"$work/found"
made TOOLS | sed 's/^.*\(tests\/\)/\1/' >"$work/made"
same "each tool is built" 5
(programs; targets) | sed "s|^|$BUILD/|" >"$work/found"
while read -r program; do [ ! -x "$program" ] || echo "$program"; done <"$work/found" >"$work/made"
same "all of them are there as programs" 75
{ cat "$work/programs"; find tests/cli -name '*.sh' | sed 's/^tests\///; s/\.sh$//'; } >"$work/found"
T='' LIST=1 sh tests/run.sh >"$work/made"
same "tests/run.sh runs each program and script" 70
