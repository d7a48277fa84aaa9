#!/bin/bash
# `coca inspect`: ids of a text, the crop of a picture, what a model is.
set -u
. tests/cli/support.inc

expect "inspect needs to know what" 2 "takes tokens, pixels or model" "$coca" inspect
expect "and not something else" 2 "not 'weights'" "$coca" inspect weights

# The ids of these words in model/default/merges.txt, without start and end.
expect "tokens are ids on one line" 0 "677 1984 534 1207" "$coca" inspect tokens --tokenizer model/default/merges.txt -- Two dogs "in snow"
is "and nothing else" test "$(cat "$work/out")" = "677 1984 534 1207"
expect "a folder will do" 0 "677 1984 534 1207" "$coca" inspect tokens --tokenizer model/default -- "two dogs in snow"
expect "so will the model in use" 0 "677 1984 534 1207" "$coca" inspect tokens -- "two dogs in snow"
expect "words behind -- may look like options" 0 "" "$coca" inspect tokens -- --size
expect "a text is needed" 2 "the text is empty" "$coca" inspect tokens --
long=$(yes dog | head -n 500 | tr '\n' ' ')
expect "a long text is not cut" 0 "" "$coca" inspect tokens -- "$long"
is "500 ids of it" test "$(wc -w <"$work/out")" -eq 500
expect "a tokenizer that is not there fails" 1 "$work/none" "$coca" inspect tokens --tokenizer "$work/none" -- dog

for picture in gray-320x240.jpg:48 orientation-5.jpg:48 cmyk-61x47.jpg:32 lossy-61x47.webp:32; do
    name=${picture%:*} size=${picture#*:}
    "$coca" inspect pixels --size "$size" "tests/data/images/$name" >"$work/out" 2>"$work/log"
    is "the crop of $name has its size" test "$(head -c 12 "$work/out" | tr '\n' ' ')" = "P6 $size $size 255"
    different=$(cmp -l "$work/out" "tests/data/images/$name.$size.ppm" 2>/dev/null | wc -l)
    is "and is Pillow's but for one value in a thousand" test "$different" -le $((size * size * 3 / 1000))
done
expect "a crop needs a size" 2 "--size N" "$coca" inspect pixels tests/data/images/gray-320x240.jpg
expect "and a file" 2 "takes one file" "$coca" inspect pixels --size 48
expect "a size of nothing is refused" 2 "--size takes" "$coca" inspect pixels --size 0 tests/data/images/gray-320x240.jpg
expect "what is no picture is named" 1 "merges.txt" "$coca" inspect pixels --size 48 model/default/merges.txt
expect "pixels need no model" 0 "" "$coca" inspect pixels --size 48 --model "$work/none" tests/data/images/gray-320x240.jpg

expect "model tells its parameters" 0 "7.68 million" "$coca" inspect model model/default
is "its digests" grep -qE '^weights digest [0-9a-f]{32}$' "$work/out"
is "and its tokenizer" grep -qF "4096 ids, start 4094, end 4095" "$work/out"
expect "the model in use is the default" 0 "7.68 million" "$coca" inspect model
expect "a model that is not there fails" 1 "$work/none" "$coca" inspect model "$work/none"
