#!/bin/bash
# `coca train` as a user meets it: a model from drawn scenes, stopping and going on, frozen parts, what is refused.
set -u
. tests/cli/support.inc

# log.csv but for the time it took
steps_of() { cut -d, -f1-8,10- "$1/log.csv"; }
same_steps() { diff <(steps_of "$1") <(steps_of "$2"); }

cat >"$work/small.json" <<'JSON'
{"model_cfg": {"embed_dim": 32,
  "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8, "attentional_pool": true,
                 "attn_pooler_heads": 2, "attn_pooler_queries": 5, "output_tokens": true},
  "text_cfg": {"context_length": 16, "vocab_size": 600, "width": 32, "heads": 2, "layers": 1, "embed_cls": true, "output_tokens": true},
  "multimodal_cfg": {"context_length": 16, "vocab_size": 600, "width": 32, "heads": 2, "layers": 1, "attn_pooler_heads": 2},
  "custom_text": true}}
JSON
"$scenes" "$work/scenes.tar.gz" --count 60 --seed 5 --size 64 >"$work/log" 2>&1 || { cat "$work/log"; echo "not ok - scenes are drawn"; }
mkdir "$work/folder"
(cd "$work/folder" && tar xzf ../scenes.tar.gz)
for photo in "$work"/folder/*.jpg; do printf '%s\t%s\n' "$(basename "$photo")" "$(head -n 1 "${photo%.jpg}.txt")"; done >"$work/folder/photos.tsv"
small=(--config "$work/small.json" --new-tokenizer 600 --batch 16 --threads 1)

expect "a run needs a folder" 2 "--out DIR" "$coca" train --shards "$work/scenes.tar.gz"
expect "a run needs photographs" 2 "--shards TAR" "$coca" train --out "$work/x" "${small[@]}"
expect "a shard that is not there is named" 1 "nothing.tar" "$coca" train --out "$work/x" "${small[@]}" --shards "$work/nothing.tar"
expect "two lengths are one too many" 2 "give one" "$coca" train --out "$work/x" "${small[@]}" --shards "$work/scenes.tar.gz" --steps 3 --epochs 2
expect "an unknown part cannot be frozen" 2 "'images'" "$coca" train --out "$work/x" "${small[@]}" --shards "$work/scenes.tar.gz" --freeze images
expect "without a tokenizer there is a way out" 1 "--new-tokenizer 4096" "$coca" train --out "$work/x" --config "$work/small.json" --shards "$work/scenes.tar.gz"
expect "a folder without a run cannot be resumed" 1 "train_state.bin" "$coca" train --out "$work/nothing" --resume

expect "a model is trained" 0 "held out: contrastive" "$coca" train --out "$work/whole" "${small[@]}" --steps 8 --eval-every 4 --shards "$work/scenes.tar.gz=1.5"
is "its folder has all of it" ls "$work"/whole/{open_clip_config.json,open_clip_model.safetensors,merges.txt,train_state.bin,log.csv,curves.svg}
is "each step has its line" test "$(wc -l <"$work/whole/log.csv")" -eq 9
is "the curves are drawn" grep -q "recall at 10" "$work/whole/curves.svg"
expect "runs are reported as a table" 0 "| $work/whole | 32 | 8 | 128 |" "$coca" train --report "$work/whole"
is "with how they were started" grep -q -e "--shards=scenes.tar.gz=1.5 .*--steps=8" "$work/out"
expect "what is no run is not" 1 "train_state.bin" "$coca" train --report "$work"
is "the best weights are kept, too" test -s "$work/whole/best.safetensors"
expect "and are a model, with what lies beside them" 0 "" "$coca" embed --model "$work/whole/best.safetensors" --text "a red circle"
expect "it can be searched with" 0 "" "$coca" embed --model "$work/whole" --text "a red circle"
expect "a folder with a run is not overwritten" 2 "--resume" "$coca" train --out "$work/whole" "${small[@]}" --shards "$work/scenes.tar.gz"

# A run that is complete.
expect "another run with the same options" 0 "" "$coca" train --out "$work/parts" "${small[@]}" --steps 8 --eval-every 4 --save-every 4 --shards "$work/scenes.tar.gz=1.5"
cp -r "$work/parts" "$work/again"
expect "a finished run has nothing left to do" 0 "going on behind step 8" "$coca" train --out "$work/again" --resume --threads 1
is "and stays as it is" same_steps "$work/whole" "$work/again"

# Ctrl-C in the middle, twice at once as timeout(1) sends it, then on: the losses of the quiet run.
"$coca" train --out "$work/stopped" "${small[@]}" --steps 400 --eval-every 1000 --save-every 10 --shards "$work/scenes.tar.gz" >"$work/out" 2>"$work/log" &
pid=$!
soon grep -q "^step " "$work/log"
kill -INT $pid
sleep 0.02
kill -INT $pid 2>/dev/null
wait $pid
code=$?
if [ $code -eq 1 ] && grep -q "stopped and saved at step" "$work/log"; then echo "ok - Ctrl-C saves"; else cat "$work/log"; echo "not ok - Ctrl-C saves ($code)"; fi
done_steps=$(($(wc -l <"$work/stopped/log.csv") - 1))
is "it stopped on the way" test "$done_steps" -gt 0 -a "$done_steps" -lt 400
# steps are part of the schedule: both runs plan 400
(cd "$work" && "$coca" train --out stopped --resume --threads 1) >"$work/out" 2>"$work/log" || { cat "$work/log"; echo "not ok - a stopped run goes on"; }
"$coca" train --out "$work/quiet" "${small[@]}" --steps 400 --eval-every 1000 --shards "$work/scenes.tar.gz" >"$work/out" 2>&1
is "a stopped run goes on with the same losses" same_steps "$work/quiet" "$work/stopped"
is "and ends in the same weights" cmp "$work/quiet/open_clip_model.safetensors" "$work/stopped/open_clip_model.safetensors"

expect "a table of photographs will do" 0 "some frozen" "$coca" train --out "$work/tuned" --from "$work/whole" --tsv "$work/folder/photos.tsv" --steps 3 --batch 16 --freeze image,text
expect "or one of classes" 0 "" "$coca" train --out "$work/named" --from "$work/whole" --tsv "$work/folder/photos.tsv=1,classes" --steps 1 --batch 8
is "which its state remembers" grep -qa -e "--tsv=[^ ]*photos.tsv=1,classes" "$work/named/train_state.bin"
expect "an old model learns to see larger photographs" 0 "" "$coca" train --out "$work/larger" --from "$work/whole" --image-size 48 --tsv "$work/folder/photos.tsv" --steps 2 --batch 8
is "and is one for those" grep -q '"image_size": 48' "$work/larger/open_clip_config.json"
expect "a side that patches do not fill is refused" 2 "multiple of the patch" "$coca" train --out "$work/x" --from "$work/whole" --image-size 50 --tsv "$work/folder/photos.tsv"
expect "a new tokenizer does not fit an old model" 2 "--new-tokenizer" "$coca" train --out "$work/x" --from "$work/whole" --new-tokenizer 600 --tsv "$work/folder/photos.tsv"
expect "what overflows stops the run" 1 "not finite" "$coca" train --out "$work/nan" "${small[@]}" --lr 1e30 --warmup 0 --steps 50 --shards "$work/scenes.tar.gz"
printf 'x' | dd of="$work/parts/train_state.bin" bs=1 seek=3000 conv=notrunc status=none
expect "a damaged state is refused" 1 "checksum" "$coca" train --out "$work/parts" --resume

# Little data: harder negatives, broader terms, forgotten words; the run goes on from another folder, where its files are found again.
"$scenes" "$work/pairs.tar" --pairs --count 20 --size 64 --seed 6 >"$work/log" 2>&1 || { cat "$work/log"; echo "not ok - pairs are drawn"; }
printf 'red circle\tcircle, shape\nblue star\tstar\n' >"$work/broader.tsv"
few=(--broader broader.tsv --together 0.5 --forget 0.3 --mix 0.5)
kinds=(--shards scenes.tar.gz=1,classes,mix:0.15 pairs.tar=0.5,whole,pairs)
expect "a run for little data" 0 "held out" bash -c 'cd "$1" && shift && "$@"' - "$work" "$coca" train --out few "${small[@]}" "${few[@]}" --steps 4 --eval-every 4 "${kinds[@]}"
is "remembers where its table of terms is" grep -qa -e "--broader=$work/broader.tsv" "$work/few/train_state.bin"
is "and what its sources are" grep -qa -e "scenes.tar.gz=1,classes,mix:0.15" "$work/few/train_state.bin"
expect "and goes on" 0 "going on behind step 4" "$coca" train --out "$work/few" --resume --threads 1 --steps 6
expect "a share above 1 is refused" 2 "'mix:P'" "$coca" train --out "$work/x" "${small[@]}" --shards "$work/scenes.tar.gz=1,mix:2"
printf 'no tab here\n' >"$work/broken.tsv"
expect "a broken table of terms is named" 1 "broken.tsv" "$coca" train --out "$work/x" "${small[@]}" --broader "$work/broken.tsv" --shards "$work/scenes.tar.gz"

# Growing: more layers, the same answers at first.
sed -e 's/"layers": 1/"layers": 2/' "$work/small.json" >"$work/grown.json"
expect "a model grows" 0 "" "$coca" train --out "$work/grown" --from "$work/whole" --config "$work/grown.json" --lr 0 --steps 1 --batch 8 --tsv "$work/folder/photos.tsv"
is "and has the layers" test "$(grep -c '"layers": 2' "$work/grown/open_clip_config.json")" -eq 3
for model in whole grown; do
    { "$coca" embed --model "$work/$model" --text "a red circle"; "$coca" embed --model "$work/$model" "$work/folder/000000.jpg"; } >"$work/$model.embedding" 2>&1
done
is "there are two answers" [ "$(grep -c '"embedding":\[-*[0-9]' "$work/whole.embedding")" = 2 ]
# The step at a rate of 0 rounds the averages, no more.
values() { grep -o '"embedding":\[[^]]*' "$1" | sed 's/.*\[//' | tr ',' '\n'; }
is "of 32 numbers each" [ "$(values "$work/whole.embedding" | wc -l)" = 64 ]
paste <(values "$work/whole.embedding") <(values "$work/grown.embedding") | awk '{ d = $1 - $2; if (NF != 2 || d > 1e-5 || d < -1e-5) exit 1 }'
is "which are the old ones" [ $? = 0 ]
sed -e 's/"attn_pooler_queries": 5/"attn_pooler_queries": 6/' "$work/small.json" >"$work/wide.json"
expect "more of something else is no growth" 1 "has another shape" "$coca" train --out "$work/x" --from "$work/whole" --config "$work/wide.json" --tsv "$work/folder/photos.tsv"
