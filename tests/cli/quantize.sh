#!/bin/bash
# `coca model`: a model in 8 bits is written, told of, and used.
set -u
. tests/cli/support.inc

expect "model needs to know what" 2 "info [DIR] or quantize" "$coca" model
expect "quantize needs a folder" 2 "--out DIR" "$coca" model quantize
expect "a precision is fp32 or int8" 2 "not 'int4'" "$coca" embed --precision int4 --text dog
expect "the shipped model is written in 8 bits" 0 "64 pictures: cosine to fp32" "$coca" model quantize --model model/default --out "$work/q"
expect "a folder with a model is left alone" 2 "has a model already" "$coca" model quantize --model model/default --out "$work/q"
expect "info tells what was measured" 0 "64 pictures have a cosine of" "$coca" model info "$work/q"
is "and that int8 is used" grep -q "^precision  *int8" "$work/out"
is "the tokenizer came along" cmp model/default/merges.txt "$work/q/merges.txt"
in_8_bits() {
    head -c 65536 "$work/q/open_clip_model.safetensors" | grep -aqF "\"$1\":{\"dtype\":\"I8\""
}
is "the image encoder's matrices are in 8 bits" in_8_bits visual.transformer.resblocks.0.mlp.c_fc.weight
is "and the decoder's are there in 8 bits, too" in_8_bits int8.text_decoder.cross_attn.1.fc
picture=tests/data/images/gray-320x240.jpg
"$coca" embed --model "$work/q" --format f32 "$picture" >"$work/quantised"
"$coca" embed --model model/default --precision int8 --format f32 "$picture" >"$work/asked"
"$coca" embed --model model/default --precision fp32 --format f32 "$picture" >"$work/exact"
is "8 bits are the same, made beforehand or on opening" cmp "$work/quantised" "$work/asked"
is "and not fp32" not cmp "$work/asked" "$work/exact"
expect "with a photograph of one's own" 0 "1 pictures" "$coca" model quantize --model model/default --out "$work/r" "$picture"
expect "what is no picture is named" 1 "merges.txt" "$coca" model quantize --model model/default --out "$work/s" model/default/merges.txt
is "and nothing is written" test ! -e "$work/s"
