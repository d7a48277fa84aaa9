#!/bin/bash
# The manual page and the completions of the real program: every option of every command is there, and the shells take them.
set -u
BUILD=${BUILD:-build}
coca=$BUILD/coca
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

check() { # NAME COMMAND...
    local name=$1
    shift
    if "$@" >"$work/out" 2>&1; then echo "ok - $name"; else cat "$work/out"; echo "not ok - $name"; fi
}
"$coca" help --man >"$work/coca.1" || echo "not ok - the manual page is printed"
for shell in bash zsh fish; do "$coca" help --completion $shell >"$work/coca.$shell" || echo "not ok - the $shell script is printed"; done
"$coca" help --completion csh 2>"$work/log"
[ $? -eq 2 ] && echo "ok - another shell is wrong usage" || echo "not ok - another shell is wrong usage"

# The commands and options of the help, against the pages.
all_are_there() {
    local command option missing=0
    for command in $("$coca" help | sed -n '/^commands$/,/^$/s/^  \([a-z]*\) .*/\1/p'); do
        grep -q "^\.SS coca $command\b" "$work/coca.1" || { echo "no section of $command"; missing=1; }
        for option in $("$coca" help "$command" | sed -n 's/^  \(-[a-zA-Z], \|    \)--\([a-z0-9-]*\).*/\2/p'); do
            grep -qF -e "\\-\\-${option//-/\\-}\\fR" "$work/coca.1" || { echo "manual: $command --$option"; missing=1; }
            sed -n "/^\t$command)\$/,/;;/p" "$work/coca.bash" | grep -qe " --$option " || { echo "bash: $command --$option"; missing=1; }
            sed -n "/^\t$command)\$/,/;;/p" "$work/coca.zsh" | grep -qe "--$option\b" || { echo "zsh: $command --$option"; missing=1; }
            grep -q "from $command' -l $option " "$work/coca.fish" || { echo "fish: $command --$option"; missing=1; }
        done
    done
    [ "$("$coca" help search | grep -c -e '--add')" -gt 0 ] || { echo "the help of search could not be read"; missing=1; }
    return $missing
}
check "every option of every command is in the manual and the completions" all_are_there

completes() { # WORDS... WANTED: what bash offers for the last of the words
    local wanted=${*: -1}
    set -- "${@:1:$#-1}"
    bash -c 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _coca; echo "${COMPREPLY[*]}"' _ "$work/coca.bash" "$@" >"$work/reply" 2>&1
    [ "$(cat "$work/reply")" = "$wanted" ] || { echo "'$*' completes to '$(cat "$work/reply")', not '$wanted'"; return 1; }
}
mkdir -p "$work/d/folder"
: >"$work/d/file"
check "bash completes commands" completes coca se search
check "bash completes options" completes coca search --fo --format
check "bash offers folders for folders" completes coca search --in "$work/d/f" "$work/d/folder"
check "bash offers files for files" completes coca search --html "$work/d/fi" "$work/d/file"
check "bash offers files behind =" completes coca search --html = "$work/d/fi" "$work/d/file"
check "bash offers nothing for a number" completes coca search --limit 1 ""
check "bash offers files as words" completes coca similar "$work/d/fi" "$work/d/file"
check "bash offers commands to help" completes coca help simi similar

for shell in zsh fish; do
    if command -v $shell >/dev/null; then
        check "$shell takes its script" $shell -n "$work/coca.$shell"
    else
        echo "skip - $shell takes its script ($shell is not installed)"
    fi
done
if command -v fish >/dev/null; then
    check "fish completes options" fish -c 'source "$argv[1]"; complete -C "coca search --fo" | string match -q -- "--format*"' "$work/coca.fish"
fi
lint() { mandoc -Tlint "$work/coca.1" >"$work/lint"; ! grep -E 'ERROR|UNSUPP|WARNING' "$work/lint" | grep -v 'missing date'; }
if command -v mandoc >/dev/null; then check "mandoc finds no fault in the manual" lint; else echo "skip - mandoc finds no fault in the manual (it is not installed)"; fi
