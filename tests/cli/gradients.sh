#!/bin/bash
# Losses and gradients against the figures of OpenCLIP's own code: losses and a sample of every parameter's gradient kept here
# (its norm and up to 128 of its values), and everything in ../shared where that is there. What those leave out is in
# tests/model/train/gradient.c.
set -u
. tests/cli/figures.inc

gradients=$BUILD/tests/tools/gradients

# Whether the tool, which has just run, printed a line for each parameter of the model.
compared() {
    [ "$(grep -v expected "$work/out" | grep -c ' [0-9.]*e[-+][0-9]*$')" -eq "$(grep -ao '"shape"' "$1/open_clip_model.safetensors" | wc -l)" ]
}

expect "without a folder it is wrong usage" 2 "" "$gradients"
expect "a folder that is not there fails" 1 "" "$gradients" "$work/nowhere"
for folder in tests/data/tiny*; do
    [ -f "$folder/expected_losses.json" ] && expect "losses and gradients of $(basename "$folder") agree" 0 "" "$gradients" "$folder"
    is "each parameter of $(basename "$folder") was compared" compared "$folder"
done
copy tests/data/tiny
sed -i 's/"caption_loss": 13.4566/"caption_loss": 13.4569/' "$work/model/expected_losses.json"
expect "an altered loss is seen" 1 "" "$gradients" "$work/model"
rm "$work/model/expected_losses.json"
expect "missing losses are seen" 1 "" "$gradients" "$work/model"

copy tests/data/tiny
overwrite "$work/model/expected_grads_sample.safetensors" 6 '\x40\x40'
expect "an altered value of a sample is seen" 1 "" "$gradients" "$work/model"
copy tests/data/tiny
overwrite "$work/model/expected_grads_sample.safetensors" 2 '\x40\x40'
expect "an altered norm of a sample is seen" 1 "" "$gradients" "$work/model"
copy tests/data/tiny
sed -i 's/"visual.proj"/"visual.pr0j"/' "$work/model/expected_grads_sample.safetensors"
expect "a gradient that a sample lacks is seen" 1 "" "$gradients" "$work/model"

if [ -d "$shared" ]; then
    for folder in "$shared"/tiny*; do
        expect "gradients of $(basename "$folder") agree" 0 "" "$gradients" "$folder"
    done
    copy "$shared/tiny"
    overwrite "$work/model/expected_grads.safetensors" 2 '\x40\x40'
    expect "an altered gradient is seen" 1 "" "$gradients" "$work/model"
    copy "$shared/tiny"
    sed -i 's/"visual.proj"/"visual.pr0j"/' "$work/model/expected_grads.safetensors"
    expect "a missing gradient is seen" 1 "" "$gradients" "$work/model"
else
    echo "skip - gradients of $shared"
fi
