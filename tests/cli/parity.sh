#!/bin/bash
# The model against the figures of OpenCLIP's own code: those kept here, and all others of ../shared where that is there.
set -u
. tests/cli/figures.inc

parity=$BUILD/tests/tools/parity

expect "without a folder it is wrong usage" 2 "" "$parity"
expect "an option that is unknown is wrong usage" 2 "" "$parity" --what tests/data/tiny
for folder in tests/data/tiny*; do
    expect "$(basename "$folder") agrees" 0 "" "$parity" "$folder"
done

# Each tensor in turn: its last value becomes another one, or not a number.
for name in image_features_raw image_features image_tokens text_features_raw text_features text_tokens logits \
    caption_loglik_sum caption_loglik_mean greedy_text; do
    copy tests/data/tiny
    file=$work/model/expected.safetensors
    # The end of the tensor, from the header: "name":{...,"data_offsets":[BEGIN,END]}
    header=$(od -An -N8 -tu8 "$file" | tr -d ' ')
    end=$(dd if="$file" bs=1 skip=8 count="$header" status=none | tr -d ' \n' |
        sed "s/.*\"$name\":{[^}]*\"data_offsets\":\[[0-9]*,\([0-9]*\)\].*/\1/")
    value='\0\0\100\100'
    [ $name = greedy_text ] && value='\1\0\0\0\0\0\0\0'
    width=4
    [ $name = greedy_text ] && width=8
    from_end=$(($(stat -c %s "$file") - 8 - header - end + width))
    overwrite "$file" $from_end "$value"
    expect "an altered $name is noticed" 1 "" "$parity" "$work/model"
    if [ $name = logits ]; then
        overwrite "$file" $from_end '\0\0\300\177'
        expect "an expected value that is not a number is noticed" 1 "" "$parity" "$work/model"
    fi
done

copy tests/data/tiny
sed -i 's/"logits"/"logitz"/' "$work/model/expected.safetensors"
expect "an expected tensor that is missing is noticed" 1 "" "$parity" "$work/model"
rm "$work/model/expected.safetensors"
expect "a folder without figures fails" 1 "" "$parity" "$work/model"

if [ -d "$shared" ]; then
    for folder in "$shared"/tiny*; do
        expect "reference $(basename "$folder") agrees" 0 "" "$parity" "$folder"
    done
    for weights in open_clip_pytorch_model.bin epoch_3.pt; do
        expect "reference tiny's $weights agrees" 0 "" "$parity" "$shared/tiny" "$shared/tiny/$weights"
    done
    for weights in half.pt open_clip_model.f16.safetensors; do
        expect "reference tiny's $weights agrees within half precision" 0 "" \
            "$parity" "$shared/tiny" "$shared/tiny/$weights" --tolerance-times 40
    done
    expect "reference tiny's bf16 weights agree within their precision" 0 "" \
        "$parity" "$shared/tiny" "$shared/tiny/open_clip_model.bf16.safetensors" --tolerance-times 400
else
    echo "skip - the other reference models are not here"
fi
