#!/bin/bash
# `coca eval`: the line it prints, what it counts, and what it does with broken samples.
set -u
. tests/cli/support.inc

"$scenes" "$work/scenes.tar.gz" --count 20 --seed 2 --size 72 >"$work/out" 2>&1 || { cat "$work/out"; echo "not ok - scenes are drawn"; }
"$scenes" "$work/folder" --count 20 --seed 2 --size 72 >"$work/out" 2>&1 || { cat "$work/out"; echo "not ok - scenes are drawn"; }
tar --sort=name -cf "$work/plain.tar" -C "$work/folder" .
shard=$work/scenes.tar.gz

expect "eval prints one line" 0 '{"photos":20,"texts":40,"text_to_image":{"r1":' "$coca" eval --shards "$shard" --format json
is "one" test "$(wc -l <"$work/out")" -eq 1
is "of valid JSON in the order that is promised" "$json_check" photos texts text_to_image image_to_text reranked <"$work/out"
before=$(cut -d, -f1-8 "$work/out")
expect "without reranking" 0 '"image_to_text"' "$coca" eval --shards "$shard" --format json --no-rerank
is "reranked is left out" "$json_check" photos texts text_to_image image_to_text <"$work/out"
is "and the rest is the same" test "$(cut -d, -f1-7 "$work/out")" = "$(printf %s "$before" | cut -d, -f1-7)"
expect "a plain tar will do" 0 '{"photos":20,"texts":40' "$coca" eval --shards "$work/plain.tar" --format json --no-rerank
expect "several shards are one collection" 0 '{"photos":40,"texts":80' "$coca" eval --shards "$shard" "$work/plain.tar" --format json --no-rerank
expect "for people it is a table" 0 "text to image, reranked" "$coca" eval --shards "$shard" --limit 5
expect "--limit takes the first" 0 '{"photos":5,"texts":10' "$coca" eval --shards "$shard" --limit 5 --format json --no-rerank
expect "--every takes every K-th" 0 '{"photos":7,"texts":14' "$coca" eval --shards "$shard" --every 3 --format json --no-rerank
expect "--heldout takes a tenth" 0 '{"photos":2,"texts":4' "$coca" eval --shards "$shard" --heldout --format json --no-rerank
expect "--sweep prints a table of weights" 0 "image to text: 8 queries" "$coca" eval --shards "$shard" "$work/plain.tar" --limit 8 --sweep
is "for each shard and both ways" test "$(grep -c ' queries$' "$work/out")" -eq 4
is "and what it advises" test "$(grep -c '^advised for' "$work/out")" -eq 2
expect "the advice alone is JSON" 0 '{"text_to_image":{"weight":' "$coca" eval --shards "$shard" --limit 8 --sweep --format json
is "of one line" "$json_check" text_to_image image_to_text <"$work/out"
is "no advice costs recall" not grep -qE '"(r1|r10)":-' "$work/out"
expect "one photo finds itself" 0 '"r1":100.00' "$coca" eval --shards "$shard" --limit 1 --format json

expect "--classes counts captions" 0 '{"photos":20,"classes":' "$coca" eval --shards "$shard" --classes --format json
is "as valid JSON" "$json_check" photos classes top1 top5 <"$work/out"
mkdir "$work/classes"
for i in 0 1 2 3 4 5; do cp "$work/folder/00000$i.jpg" "$work/classes/$i.jpg"; done
for i in 0 2 4; do echo circle >"$work/classes/$i.txt"; done
for i in 1 3 5; do printf 'a square\nignored\n' >"$work/classes/$i.txt"; done
tar --sort=name -cf "$work/classes.tar" -C "$work/classes" .
expect "each distinct first caption is a class" 0 '{"photos":6,"classes":2,' "$coca" eval --shards "$work/classes.tar" --classes --format json
is "among two the right one is within five" grep -q '"top5":100.00' "$work/out"
echo 'a drawing of {}' >"$work/templates"
expect "prompts may be given" 0 '"classes":2' "$coca" eval --shards "$work/classes.tar" --classes --templates "$work/templates" --format json
echo 'a drawing' >"$work/templates"
expect "but not without a place for the class" 2 "has no {}" "$coca" eval --shards "$work/classes.tar" --classes --templates "$work/templates"

echo "no picture" >"$work/classes/3.jpg"
tar --sort=name -cf "$work/broken.tar" -C "$work/classes" .
expect "a broken picture is named, left out, and the exit code 4" 4 "skipped" "$coca" eval --shards "$work/broken.tar" --format json --no-rerank
is "the others count" grep -q '{"photos":5,"texts":7,' "$work/out"

"$scenes" "$work/pairs.tar" --pairs --heldout --count 3 --size 72 >"$work/out" 2>&1 || { cat "$work/out"; echo "not ok - pairs are drawn"; }
expect "--pairs asks which caption goes with which picture" 0 '{"pairs":3,"similarity":{"caption":' "$coca" eval --pairs --shards "$work/pairs.tar" --format json
is "by similarity, by likelihood and by both" "$json_check" pairs similarity likelihood combined <"$work/out"
expect "for people it is a table, too" 0 "reranked: both of them" "$coca" eval --pairs "$work/pairs.tar"
expect "what is no pair is said" 3 "20 samples are no pair" "$coca" eval --pairs --shards "$shard"
is "and that nothing is left" grep -q "hold no pair; hint: " "$work/log"
expect "--pairs contradicts --heldout" 2 "contradicts" "$coca" eval --pairs --shards "$work/pairs.tar" --heldout

expect "no shards are wrong usage" 2 "no shards" "$coca" eval
expect "a shard that is not there fails" 1 "$work/none.tar" "$coca" eval --shards "$work/none.tar"
head -c 3000 "$shard" >"$work/cut.tar.gz"
expect "a shard that is cut off fails" 1 "cut.tar.gz" "$coca" eval --shards "$work/cut.tar.gz"
mkdir "$work/empty"
tar --sort=name -cf "$work/empty.tar" -C "$work/empty" .
expect "an empty shard has no result" 3 "no sample" "$coca" eval --shards "$work/empty.tar"
expect "--sweep contradicts --no-rerank" 2 "contradicts" "$coca" eval --shards "$shard" --sweep --no-rerank
expect "--heldout contradicts --every" 2 "--heldout stands for" "$coca" eval --shards "$shard" --heldout --every 2
