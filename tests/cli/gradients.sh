#!/bin/bash
# Losses and gradients against the figures of OpenCLIP's own code: the losses kept here, and everything in ../shared where
# that is there. What those leave out is in tests/model/train_gradient.c.
set -u
BUILD=${BUILD:-build}
gradients=$BUILD/tests/gradients
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
    cp "$1"/open_clip_config.json "$1"/open_clip_model.safetensors "$1"/expected* "$work/model"
    chmod -R u+w "$work/model"
}

# overwrite FILE OFFSET_FROM_END BYTES
overwrite() {
    printf "$3" | dd of="$1" bs=1 seek=$(($(stat -c %s "$1") - $2)) conv=notrunc status=none
}

check "without a folder it is wrong usage" 2 "$gradients"
check "a folder that is not there fails" 1 "$gradients" "$work/nowhere"
for folder in tests/data/tiny*; do
    [ -f "$folder/expected_losses.json" ] && check "losses of $(basename "$folder") agree" 0 "$gradients" "$folder"
done
copy tests/data/tiny
sed -i 's/"caption_loss": 13.4566/"caption_loss": 13.4569/' "$work/model/expected_losses.json"
check "an altered loss is seen" 1 "$gradients" "$work/model"
rm "$work/model/expected_losses.json"
check "missing losses are seen" 1 "$gradients" "$work/model"

if [ -d "$shared" ]; then
    for folder in "$shared"/tiny*; do
        check "gradients of $(basename "$folder") agree" 0 "$gradients" "$folder"
    done
    copy "$shared/tiny"
    overwrite "$work/model/expected_grads.safetensors" 2 '\x40\x40'
    check "an altered gradient is seen" 1 "$gradients" "$work/model"
    copy "$shared/tiny"
    sed -i 's/"visual.proj"/"visual.pr0j"/' "$work/model/expected_grads.safetensors"
    check "a missing gradient is seen" 1 "$gradients" "$work/model"
else
    echo "skip - gradients of $shared"
fi
