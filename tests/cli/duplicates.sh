#!/bin/bash
# `coca duplicates`: copies and near copies in groups, the best first, as text, JSON and a page; nothing is deleted, nothing else is joined.
set -u
. tests/cli/support.inc

images=tests/data/images

said() { # NAME TEXT: in what the last command printed
    if grep -qF -e "$2" "$work/out" "$work/log"; then echo "ok - $1"; else cat "$work/out"; echo "not ok - $1"; fi
}

"$scenes" "$photos" --count 30 --seed 3 --size 96 >"$work/out" 2>&1 || echo "not ok - pictures are drawn"
rm -f "$photos"/*.tsv
expect "an empty library has none" 3 "" "$coca" duplicates
"$coca" index "$photos" >"$work/out" 2>&1
expect "drawings that differ are no copies" 3 "no photograph is there twice" "$coca" duplicates --bits 4 --similarity 0.93

# The same picture, coded in three ways and turned by EXIF's word, and a copy of one of them.
cp "$images/deflate-61x47.tif" "$photos/picture.tif"
cp "$images/lossy-61x47.avif" "$photos/picture.avif"
cp "$images/interlaced-61x47.gif" "$photos/picture.gif"
mkdir "$photos/backup"
cp "$photos/picture.gif" "$photos/backup/again.gif"
touch -d 2020-01-01 "$photos/picture.gif"
find "$photos" -type f | sort >"$work/before"
"$coca" index "$photos" >"$work/out" 2>&1
expect "one group" 0 "group 1: 4 photos" "$coca" duplicates --bits 4 --similarity 0.93
said "the most bytes are best" "  best  61 x 47           7.4 KB  $photos/picture.tif"
said "what is spare is summed up" "nothing is deleted"
[ "$(grep -c '^group' "$work/out")" = 1 ] && echo "ok - nothing else is joined" || echo "not ok - nothing else is joined"
find "$photos" -type f | sort | cmp -s - "$work/before" && echo "ok - nothing is deleted" || echo "not ok - nothing is deleted"
expect "exact copies alone" 0 "group 1: 2 photos" "$coca" duplicates --exact
[ "$(sed -n 2p "$work/out" | grep -c "best.*$photos/picture.gif")" = 1 ] && echo "ok - the older of two copies is best" || echo "not ok - the older of two copies is best"
expect "below a folder there is one of each" 3 "there twice" "$coca" duplicates --exact --in "$photos/backup"
expect "a hash alone joins nothing" 0 "group 1: 2 photos" "$coca" duplicates --bits 4 --similarity 1.1
said "but copies" "  copy  61 x 47"
expect "nor does a similarity" 0 "near  61 x 47           1.0 KB  $photos/picture.avif  (0 bits" "$coca" duplicates --bits 0 --similarity 0.9
[ "$(grep -c 'near.*gif' "$work/out")" = 0 ] && echo "ok - whose hash is 2 bits off" || echo "not ok - whose hash is 2 bits off"
expect "JSON has a group a line" 0 '"kind":"near"' "$coca" duplicates --bits 4 --similarity 0.93 --format json
[ "$(wc -l <"$work/out")" = 1 ] && echo "ok - and nothing else" || echo "not ok - and nothing else"
expect "a page is written" 0 "" "$coca" duplicates --bits 4 --similarity 0.93 --html "$work/page.html"
[ "$(grep -c 'group 1:' "$work/page.html")" = 4 ] && echo "ok - with every photo" || echo "not ok - with every photo"
expect "a list of paths is refused" 2 "which belong together" "$coca" duplicates --format paths0
