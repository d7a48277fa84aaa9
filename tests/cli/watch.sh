#!/bin/bash
# `coca index --watch` follows a library that changes: files, folders, moves, deletions, lost events, drives that come and go.
set -u
BUILD=${BUILD:-build}
coca=$BUILD/coca
scenes=$BUILD/tests/tools/scenes
work=$(mktemp -d)
photos=$work/photos
pid=
mounted=
finish() {
    [ -z "$pid" ] || kill -9 $pid 2>/dev/null
    [ -z "$mounted" ] || umount "$mounted" 2>/dev/null
    rm -rf "$work"
}
trap finish EXIT
unset COCA_MODEL
export COCA_DB=$work/library.db

ok() { echo "ok - $1"; }
not_ok() { echo "not ok - $1"; tail -n 20 "$work/log"; }

# photographs in the catalog that are there
there() { "$coca" status 2>/dev/null | sed -n 's/^photos *\([0-9,]*\).*/\1/p' | tr -d ,; }
# since the last thing that was waited for
from=1
said() { tail -c +$from "$work/log" | grep -q -e "$1"; }

# until NAME SECONDS COMMAND...
until_true() {
    local name=$1 n=$(($2 * 5))
    shift 2
    while [ $n -gt 0 ]; do
        "$@" >/dev/null 2>&1 && { ok "$name"; from=$(($(stat -c %s "$work/log") + 1)); return; }
        sleep 0.2
        n=$((n - 1))
    done
    not_ok "$name"
}

start() { # ARGUMENTS...
    from=1
    "$coca" index "$photos" --watch "$@" >"$work/log" 2>&1 &
    pid=$!
    for _ in $(seq 150); do said "watching" && return; kill -0 $pid 2>/dev/null || return; sleep 0.1; done
}

stop() { # NAME
    kill -INT $pid
    wait $pid
    local code=$?
    pid=
    [ $code -eq 0 ] && ok "$1" || not_ok "$1 ($code)"
}

"$scenes" "$work/drawn" --count 24 --seed 9 --size 64 >/dev/null 2>&1
mkdir -p "$photos/a"
cp "$work"/drawn/00000[0-7].jpg "$photos/a/"
start
said "8 photos: 8 new" && ok "a watch begins with a whole run" || not_ok "a watch begins with a whole run"

cp "$work/drawn/000008.jpg" "$photos/a/"
until_true "a new file is indexed" 15 said "9 photos: 1 new"
[ "$(there)" = 9 ] && ok "a search meanwhile sees it" || not_ok "a search meanwhile sees it"
mkdir -p "$photos/b/c/d"
cp "$work/drawn/000009.jpg" "$photos/b/c/d/"
until_true "a new folder is followed" 15 said "10 photos: 1 new"
cp "$work/drawn/000010.jpg" "$photos/b/c/d/"
until_true "and what comes into it later" 15 said "11 photos: 1 new"
mv "$photos/b/c/d/000010.jpg" "$photos/a/moved.jpg"
until_true "a moved file is not embedded again" 15 said "11 photos: 0 new, 10 unchanged, 1 moved"
rm "$photos/a/000000.jpg"
until_true "a deleted file is gone" 15 said "10 photos: 0 new, 10 unchanged, 1 gone"
mv "$photos/b" "$photos/renamed"
until_true "a renamed folder keeps its embeddings" 15 said "9 unchanged, 1 moved"
cp "$work/drawn/000011.jpg" "$photos/renamed/c/"
until_true "and is followed under its new name" 15 said "11 photos: 1 new"
mv "$photos/renamed" "$work/outside"
until_true "a folder that leaves is gone" 15 said "9 photos: 0 new, 9 unchanged, 2 gone"
mv "$work/outside" "$photos/renamed"
until_true "and is back when it returns" 15 said "2 back again"

# A slow copy: nothing is said of it until it is whole.
size=$(stat -c %s "$work/drawn/000012.jpg")
head -c $((size / 2)) "$work/drawn/000012.jpg" >"$photos/slow.jpg"
sleep 0.6
tail -c +$((size / 2 + 1)) "$work/drawn/000012.jpg" >>"$photos/slow.jpg"
until_true "a slow copy is indexed" 15 said "12 photos: 1 new"
grep -q "slow.jpg" "$work/log" && not_ok "it is not taken before it is whole" || ok "it is not taken before it is whole"

# The lock is free between batches.
"$coca" index "$photos" >"$work/manual" 2>&1 && ok "indexing by hand works beside it" || { cat "$work/manual"; echo "not ok - indexing by hand works beside it"; }

# More events than the system keeps, while nobody reads them.
limit=$(cat /proc/sys/fs/inotify/max_queued_events 2>/dev/null || echo 16384)
if [ "$limit" -le 20000 ]; then
    kill -STOP $pid
    (cd "$photos/a" && i=0 && while [ $i -lt $((limit / 2)) ]; do : >"x$i.txt"; i=$((i + 1)); done; rm -f x*.txt)
    mkdir "$photos/late" && cp "$work/drawn/000013.jpg" "$photos/late/"
    kill -CONT $pid
    until_true "lost events are made up for" 30 said "13 photos: 1 new"
    cp "$work/drawn/000014.jpg" "$photos/late/"
    until_true "and the watch goes on" 30 said "14 photos: 1 new"
else
    echo "skip - lost events: the queue holds $limit"
fi
stop "an interrupt ends the watch with 0"
"$coca" verify >"$work/log" 2>&1 && ok "the catalog is sound" || not_ok "the catalog is sound"

# A drive that goes and comes back, and the catalog in a folder that is watched.
rm -rf "$work"/library.db* "$photos"
mkdir "$photos"
if mount -t tmpfs -o size=4m none "$photos" 2>/dev/null; then
    mounted=$photos
    mkdir "$photos/deep"
    cp "$work"/drawn/00000[0-9].jpg "$photos/deep/"
    start --db "$photos/library.db" # its own writes must not wake it
    sleep 2.5
    [ "$(grep -c 'photos:' "$work/log")" -eq 1 ] && ok "its own catalog does not keep it busy" || not_ok "its own catalog does not keep it busy"
    stop "and the watch ends"
    rm -f "$photos"/library.db*
    start
    mkdir "$work/other"
    mount --move "$photos" "$work/other" 2>/dev/null || { mount --bind "$photos" "$work/other" && umount "$photos"; }
    mounted=$work/other
    until_true "a drive that goes keeps its photographs" 15 said "are kept"
    cp "$work/drawn/000020.jpg" "$work/other/deep/"
    mount --bind "$work/other" "$photos"
    until_true "when it is back, what is new is found" 15 said "11 photos: 1 new, 10 unchanged"
    cp "$work/drawn/000021.jpg" "$photos/deep/"
    until_true "and it is watched again" 15 said "12 photos: 1 new"
    stop "the watch ends again"
    umount "$photos"
else
    echo "skip - a drive that goes and comes back: no right to mount"
fi

# Too many folders for the system's limit: a namespace has one of its own.
rm -rf "$work"/library.db* 
umount "$photos" 2>/dev/null
rm -rf "$photos"
for n in 1 2 3 4 5 6; do mkdir -p "$photos/$n"; cp "$work/drawn/00000$n.jpg" "$photos/$n/"; done
if unshare -Ur sh -c 'echo 3 >/proc/sys/user/max_inotify_watches' 2>/dev/null; then
    unshare -Ur sh -c 'echo 3 >/proc/sys/user/max_inotify_watches; exec "$@"' sh "$coca" index "$photos" --watch=1 >"$work/log" 2>&1 &
    pid=$!
    from=1
    until_true "at the limit of watches it says so" 15 said "not every folder can be watched"
    for n in 1 2 3 4 5 6; do cp "$work/drawn/00001$n.jpg" "$photos/$n/"; done
    until_true "and looks again all the same" 15 said "12 photos: [1-6] new"
    stop "the limited watch ends"
else
    echo "skip - the limit of watches: no namespace of users"
fi
