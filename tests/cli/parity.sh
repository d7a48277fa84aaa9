#!/bin/bash
# The model against the figures of OpenCLIP's own code: those kept here, and all others of ../shared where that is there.
set -u
BUILD=${BUILD:-build}
parity=$BUILD/tests/parity
shared=${COCA_SHARED:-../shared}/reference
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# check NAME EXPECTED_CODE COMMAND...
check() {
    local name=$1 want=$2
    shift 2
    "$@" >"$work/log" 2>&1
    local code=$?
    if [ $code -eq "$want" ]; then
        echo "ok - $name"
    else
        cat "$work/log"
        echo "not ok - $name (exit code $code, expected $want)"
    fi
}

# copy FROM: a folder that may be altered
copy() {
    rm -rf "$work/model"
    mkdir "$work/model"
    cp "$1"/open_clip_* "$1"/expected.safetensors "$work/model"
    chmod -R u+w "$work/model"
}

# overwrite FILE OFFSET_FROM_END BYTES
overwrite() {
    printf "$3" | dd of="$1" bs=1 seek=$(($(stat -c %s "$1") - $2)) conv=notrunc status=none
}

check "without a folder it is wrong usage" 2 "$parity"
check "an option that is unknown is wrong usage" 2 "$parity" --what tests/data/tiny
for folder in tests/data/tiny*; do
    check "$(basename "$folder") agrees" 0 "$parity" "$folder"
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
    check "an altered $name is noticed" 1 "$parity" "$work/model"
    if [ $name = logits ]; then
        overwrite "$file" $from_end '\0\0\300\177'
        check "an expected value that is not a number is noticed" 1 "$parity" "$work/model"
    fi
done

copy tests/data/tiny
sed -i 's/"logits"/"logitz"/' "$work/model/expected.safetensors"
check "an expected tensor that is missing is noticed" 1 "$parity" "$work/model"
rm "$work/model/expected.safetensors"
check "a folder without figures fails" 1 "$parity" "$work/model"

if [ -d "$shared" ]; then
    for folder in "$shared"/tiny*; do
        check "reference $(basename "$folder") agrees" 0 "$parity" "$folder"
    done
    for weights in open_clip_pytorch_model.bin epoch_3.pt; do
        check "reference tiny's $weights agrees" 0 "$parity" "$shared/tiny" "$shared/tiny/$weights"
    done
    for weights in half.pt open_clip_model.f16.safetensors; do
        check "reference tiny's $weights agrees within half precision" 0 \
            "$parity" "$shared/tiny" "$shared/tiny/$weights" --tolerance-times 40
    done
    check "reference tiny's bf16 weights agree within their precision" 0 \
        "$parity" "$shared/tiny" "$shared/tiny/open_clip_model.bf16.safetensors" --tolerance-times 400
else
    echo "skip - the other reference models are not here"
fi
