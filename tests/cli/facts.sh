#!/bin/bash
# What photographs say about themselves, end to end: formats by content, sidecars, filters and their negations, exact to the local day.
set -u
. tests/cli/support.inc

images=tests/data/images

# lists NAME "FILES" FILTER...: the filters alone list these names, in that order
lists() {
    local name=$1 want=$2
    shift 2
    local got
    got=$("$coca" search --format paths0 "$@" 2>"$work/log" | xargs -0 -r -n 1 basename | tr '\n' ' ')
    if [ "${got% }" = "$want" ]; then echo "ok - $name"; else cat "$work/log"; echo "not ok - $name: '$got', expected '$want'"; fi
}

xmp() { # FILE DATE ATTRIBUTES TITLE
    printf "<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'><rdf:Description
        xmlns:dc='http://purl.org/dc/elements/1.1/' xmlns:exif='http://ns.adobe.com/exif/1.0/' xmlns:tiff='http://ns.adobe.com/tiff/1.0/'
        exif:DateTimeOriginal='%s' %s><dc:title><rdf:Alt><rdf:li>%s</rdf:li></rdf:Alt></dc:title></rdf:Description></rdf:RDF></x:xmpmeta>" \
        "$2" "$3" "$4" >"$1"
}

mkdir -p "$photos/trip"
cp "$images/lossy-61x47.heic" "$photos/a.heic"
cp "$images/lossy-61x47.avif" "$photos/b.jpg" # by content, not by name
cp "$images/interlaced-61x47.gif" "$photos/c.gif"
cp "$images/deflate-61x47.tif" "$photos/trip/d.tif"
cp "$images/rgb-31x23.bmp" "$photos/trip/e.bmp"
xmp "$photos/a.xmp" 2024-05-31T23:59:59+09:00 "tiff:Make='Canon' tiff:Model='EOS R5' exif:GPSLatitude='35,41.4N' exif:GPSLongitude='139,41.5E'" "Fireworks"
xmp "$photos/b.jpg.xmp" 2024-06-01T00:00:00-08:00 "tiff:Make='SONY'" "Harbour"
printf '{"title":"c.gif","description":"Two goats on a roof","photoTakenTime":{"timestamp":"1700000000"}}' >"$photos/c.gif.supplemental-metadata.json"
echo "a red kite over the beach" >"$photos/trip/d.txt"

expect "every format is indexed" 0 "5 photos: 5 new" "$coca" index "$photos"
for format in heic avif gif tiff bmp; do
    "$coca" search --in "$photos" --format json | grep -q "\"format\":\"$format\"" && echo "ok - $format is known by content" || echo "not ok - $format is known by content"
done
expect "an unchanged library is not read again" 0 "5 photos: 0 new, 5 unchanged" "$coca" index "$photos"

lists "filters alone list the newest first, what has no date last" "b.jpg a.heic c.gif d.tif e.bmp" --in "$photos"
lists "a day is the photographer's" "a.heic" --since 2024-05-31 --until 2024-05-31
lists "the next day is another" "b.jpg" --since 2024-06-01
lists "a day before has nothing of it" "c.gif" --until 2024-05-30
lists "what --since lets through, --not-since does not" "a.heic c.gif d.tif e.bmp" --not-since 2024-06
lists "what --until lets through, --not-until does not" "b.jpg d.tif e.bmp" --not-until 2024-05
lists "a camera" "a.heic" --camera canon
lists "all but two cameras" "c.gif d.tif e.bmp" --not-camera canon --not-camera sony
lists "a place" "a.heic" --near 35.69,139.69,5
lists "all but a place" "b.jpg c.gif d.tif e.bmp" --not-near 35.69,139.69,5
lists "a folder" "d.tif e.bmp" --in "$photos/trip"
lists "all but a folder" "b.jpg a.heic c.gif" --not-in "$photos/trip"
lists "words of a title" "a.heic" --text fireworks
lists "words of Takeout's description" "c.gif" --text "goats roof"
lists "words of a text file" "d.tif" --text "red kite"
lists "all but words" "b.jpg a.heic c.gif e.bmp" --not-text kite
lists "filters together" "e.bmp" --in "$photos/trip" --not-text kite
expect "a query is filtered, too" 0 "d.tif" "$coca" search --no-rerank kite --in "$photos/trip" --not-text goats
expect "nothing is no success" 3 "no photograph passes the filter" "$coca" search --camera leica
expect "a date must be one" 2 "is no date" "$coca" search --not-since yesterday
expect "neither query nor filter is no question" 2 "the query is empty" "$coca" search

echo "a blue kite" >"$photos/trip/d.txt"
expect "changed words are read without embedding again" 0 "5 photos: 0 new, 4 unchanged, 1 with other notes" "$coca" index "$photos"
lists "the old words are gone" "" --text red
lists "the new ones are there" "d.tif" --text blue
cp "$photos/trip/d.tif" "$photos/copy.tif"
echo "blue again, and red" >"$photos/copy.txt"
expect "a copy is recognised" 0 "1 moved or copied" "$coca" index "$photos"
rm "$photos/copy.txt"
expect "a file beside it that goes is noticed" 0 "1 with other notes" "$coca" index "$photos"
lists "and its words with it" "" --text again
lists "but not those of the other copy" "copy.tif d.tif" --text blue
expect "a single photo keeps what lies beside it" 0 "1 photos: 0 new, 1 unchanged" "$coca" index "$photos/trip/d.tif"
head -c $(($(stat -c %s "$images/portrait-333x500.jpg") * 98 / 100)) "$images/portrait-333x500.jpg" >"$photos/short.jpg"
expect "a JPEG without its last rows is indexed, and said to be short" 0 "cut short, indexed by what is there: 1" "$coca" index "$photos"
