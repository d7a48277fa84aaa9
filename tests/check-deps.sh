#!/bin/sh
# The rules of the house, read off the sources: check-deps.sh [ROOT]. Includes are folder-qualified, so that they can be.
#
# 1. Floors point downwards: schema <- model <- {indexer, query} <- coca.c; nothing includes tests/.
# 2. Rooms of a floor point one way: a file includes headers of its own room and of those that stand before it below.
# 3. Of another floor only what a room shows is included: the headers after "Face:" in the room's README.md.
# 4. model/ knows nothing of catalogs and vectors: of schema/ it includes base alone, and cli from model/commands.
# 5. SQL stays where the catalog is: no sqlite3_ in model, indexer or query.
# 6. Nothing below the commands ends the process: exit, _exit, _Exit, quick_exit, abort are for coca.c and commands/ alone.
# 7. Every room has a README.md, and every folder with sources is a room.
set -u
root=${1:-.}
cd "$root" || exit 2

rooms='
schema/base schema/cli schema/catalog schema/vectors schema/store
model/math model/files model/words model/image model/net model/data model/train model/heads model/commands
indexer/walk indexer/facts indexer/ingest indexer/commands
query/session query/ask query/find query/show query/measure query/teach query/answer query/commands
'
sources=$(find schema model indexer query -name '*.[ch]' | sort)
faces=$(for room in $rooms; do [ -f "$room/README.md" ] && printf '%s/README.md\n' "$room"; done)

# shellcheck disable=SC2086 # lists of names are meant
awk -v rooms="$rooms" '
BEGIN {
	n = split(rooms, list, /[ \n]+/)
	for (i = 1; i <= n; i++) if (list[i] != "") place[list[i]] = i
	below["schema"] = "schema"; below["model"] = "model schema"; below["indexer"] = "indexer model schema"; below["query"] = "query model schema"
}
function fail(text) { printf "%s:%d: %s\n    %s\n", FILENAME, FNR, text, $0; bad = 1 }
function folder(path) { sub(/\/[^\/]*$/, "", path); return path }
function floor_of(path) { sub(/\/.*/, "", path); return path }
FNR == 1 { room = folder(FILENAME); floor = floor_of(FILENAME); command = room ~ /\/commands$/ }
FILENAME ~ /README\.md$/ {
	if ($0 ~ /^Face:/) listed = 1
	if (listed) { line = $0; while (match(line, /`[^`]+\.h`/)) { face[room "/" substr(line, RSTART + 1, RLENGTH - 2)] = 1; line = substr(line, RSTART + RLENGTH) } }
	if ($0 ~ /^[ \t]*$/) listed = 0
	next
}
FNR == 1 && FILENAME != "coca.c" && !(room in place) { fail("this folder is not among the rooms of tests/check-deps.sh") }
/^[ \t]*#[ \t]*include[ \t]*"/ {
	split($0, part, "\""); header = part[2]; other = folder(header); its = floor_of(header)
	if (header !~ /\//) { fail("an include names its folder"); next }
	if (its == "tests") { fail("the program does not include tests"); next }
	if (FILENAME == "coca.c") { if (its != "schema" && !((header) in face)) fail("not on the face of " other " (its README.md)"); next }
	if (index(" " below[floor] " ", " " its " ") == 0) { fail(floor " does not include " its); next }
	if (!(other in place)) { fail("there is no room " other); next }
	if (its == floor) { if (place[other] > place[room]) fail(room " comes before " other); next }
	if (floor == "model" && other != "schema/base" && !(command && other == "schema/cli")) { fail("model includes schema/base alone"); next }
	if (!(header in face)) fail("not on the face of " other " (its README.md)")
}
floor != "schema" && FILENAME != "coca.c" && /sqlite3_/ { fail("SQL stays in schema/catalog") }
FILENAME != "coca.c" && !command && /(^|[^A-Za-z0-9_.>"])(_?exit|_Exit|quick_exit|abort)[ \t]*\(/ { fail("only a command may end the process") }
END { exit bad }
' $faces $sources coca.c
bad=$?
for room in $rooms; do
    [ -f "$room/README.md" ] || { echo "$room has no README.md"; bad=1; }
done
[ $bad -eq 0 ] && echo "check-deps: floors, rooms and faces are one-way"
exit $bad
