#!/bin/bash
# The READMEs do not drift from the tree: what they name and link is there, and the first one stays short.
set -u
BUILD=${BUILD:-build}
coca=$BUILD/coca
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
readmes=$(find . \( -path ./build -o -path ./.git \) -prune -o -name README.md -print | sed 's,^\./,,' | sort)
find . \( -path ./build -o -path ./.git \) -prune -o -print | sed 's,^\./,/,' >"$work/tree"

check() { # NAME COMMAND...
    local name=$1
    shift
    if "$@" >"$work/out" 2>&1; then echo "ok - $name"; else cat "$work/out"; echo "not ok - $name"; fi
}

# What stands in backticks, a word a line; and what an indented line begins with.
words() { { grep -o '`[^`]*`' "$1" | tr -d '`' | tr ' ' '\n'; sed -n 's/^    \([a-z]*\/[^ ]*\).*/\1/p' "$1"; } }

# A word that looks like a path of the tree: below one of the floors, or a source file, whose folder may be left out.
names_are_there() {
    local readme word file missing=0
    for readme in $readmes; do
        while read -r word; do
            word=${word%%[,:;]}
            case $word in
            *[!A-Za-z0-9_./*\[\]-]*) continue ;;
            build/tests/*) compgen -G "${word#build/}.c" >"$work/found" || { echo "$readme: nothing builds '$word'"; missing=1; } ;;
            schema/* | model/* | indexer/* | query/* | tests/*) compgen -G "$word" >"$work/found" || { echo "$readme: there is no '$word'"; missing=1; } ;;
            *\**) ;;
            *.\[ch\] | *.[ch] | *.sh | *.sql | *.inc)
                for file in "${word/%\[ch\]/c}" "${word/%\[ch\]/h}"; do
                    grep -q "/${file//./\\.}\$" "$work/tree" || { echo "$readme: there is no '$file'"; missing=1; }
                done ;;
            esac
        done < <(words "$readme")
    done
    return $missing
}
check "every file that a README names is there" names_are_there

targets_are_there() {
    local readme target missing=0
    for readme in $readmes; do
        for target in $(grep -oE '(`|^    )make [a-z-]+' "$readme" | sed 's/.*make //' | sort -u); do
            grep -q "^$target:" Makefile || { echo "$readme: there is no target '$target'"; missing=1; }
        done
    done
    return $missing
}
check "every target of make that a README names is there" targets_are_there

# The anchors that headings get: small letters, no punctuation, a hyphen for each blank.
anchors() { sed -n 's/^#\{1,6\} //p' "$1" | tr 'A-Z' 'a-z' | sed 's/[^a-z0-9 _-]//g; s/ /-/g'; }

links_lead_somewhere() {
    local readme link file anchor missing=0
    for readme in $readmes; do
        for link in $(grep -o '\](\([^)]*\))' "$readme" | sed 's/^](//; s/)$//'); do
            case $link in http://* | https://*) continue ;; esac
            file=${link%%#*}
            anchor=${link#"$file"}
            if [ -n "$file" ]; then file=$(dirname "$readme")/$file; else file=$readme; fi
            [ -e "$file" ] || { echo "$readme: the link '$link' leads nowhere"; missing=1; continue; }
            [ -z "$anchor" ] || anchors "$file" | grep -qx -e "${anchor#\#}" || { echo "$readme: '$link' has no such heading"; missing=1; }
        done
    done
    return $missing
}
check "every link of a README leads somewhere" links_lead_somewhere

commands_are_named() {
    local command missing=0
    for command in $("$coca" help | sed -n '/^commands$/,/^$/s/^  \([a-z]*\) .*/\1/p'); do
        grep -qw "coca $command" README.md || { echo "README.md does not name coca $command"; missing=1; }
    done
    return $missing
}
check "README.md names every command" commands_are_named

short() {
    [ "$(wc -l <README.md)" -le 150 ] || { echo "README.md has $(wc -l <README.md) lines"; return 1; }
    ! awk 'length > 140 && !/^\|/ { print FILENAME ": " $0; bad = 1 } END { exit !bad }' README.md || return 1
    ! awk 'length > 100 { print FILENAME ": " $0; bad = 1 } END { exit !bad }' ./*/commands/*.txt
}
check "README.md has 150 lines at most, and the help fits a terminal" short
