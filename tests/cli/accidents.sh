#!/bin/bash
# Accidents: full, read-only and vanishing disks, two writers, damage, foreign files, other versions, bombs. Each says so in a line, keeps
# what there was, and the next run goes on. What needs a mount of its own is skipped where that is not allowed.
set -u
. tests/cli/support.inc
disk=$work/disk
mounted=
finish() {
    [ -z "$mounted" ] || umount -l "$disk" 2>/dev/null
    rm -rf "$work"
}
trap finish EXIT

ok() { echo "ok - $1"; }
not_ok() { echo "not ok - $1"; cat "$work/out" "$work/log"; }
poke() { # FILE OFFSET TEXT
    printf '%b' "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}
mount_disk() { # OPTIONS
    mkdir -p "$disk"
    mount -t tmpfs -o "$1" none "$disk" 2>/dev/null && mounted=1
}
unmount_disk() { umount -l "$disk"; mounted=; }

"$scenes" "$work/drawn" --count 150 --seed 8 --size 96 >"$work/out" 2>&1
mkdir "$photos"
cp "$work"/drawn/0000[0-3]*.jpg "$photos"
expect "a library to break" 0 "40 photos: 40 new" "$coca" index "$photos"
"$coca" search "a red circle" -n 40 >"$work/answer" 2>/dev/null

# --- disks
if mount_disk size=2m; then
    expect "a full disk says so" 1 "full" "$coca" index "$work/drawn" --db "$disk/library.db"
    mount -o remount,size=64m "$disk"
    expect "and keeps what was committed" 0 "150 photos" "$coca" index "$work/drawn" --db "$disk/library.db"
    expect "on a sound catalog" 0 "the catalog is sound" "$coca" verify --db "$disk/library.db"
    mount -o remount,ro "$disk"
    expect "a read-only disk can be searched" 0 ".jpg" "$coca" search "a red circle" --db "$disk/library.db"
    expect "and indexing says so" 1 "Read-only file system" "$coca" index "$work/drawn" --db "$disk/library.db"
    unmount_disk

    # The disk goes while it is written to; nothing is written to the folder that is left.
    mount_disk size=64m
    "$coca" index "$work/drawn" --db "$disk/library.db" --batch 1 --jobs 1 >"$work/out" 2>"$work/log" &
    pid=$!
    soon test -s "$disk/library.db-wal"
    unmount_disk
    wait $pid
    code=$?
    if [ $code -eq 1 ] && grep -q "not there any more\|cannot" "$work/log"; then ok "a disk that vanishes is noticed"; else not_ok "a disk that vanishes is noticed ($code)"; fi
    [ -z "$(ls -A "$disk")" ] && ok "and leaves nothing behind" || { ls -A "$disk" >"$work/log"; not_ok "and leaves nothing behind"; }
else
    echo "skip - full, read-only and vanishing disks: no right to mount"
fi

# --- two at once
"$coca" index "$work/drawn" --db "$work/two.db" --batch 1 --jobs 1 >/dev/null 2>&1 &
pid=$!
soon "$coca" status --db "$work/two.db"
expect "a second indexer is told of the first" 1 "process $pid" "$coca" index "$work/drawn" --db "$work/two.db"
kill -STOP $pid
expect "a reader does not wait" 0 "photos" "$coca" status --db "$work/two.db"
kill -CONT $pid
wait $pid && ok "and the first comes to its end" || not_ok "and the first comes to its end"

# --- the vector index is a cache
vectors=$(ls "$work"/library.db.*vec* "$work"/library.db*faiss* "$work"/library.db*index* 2>/dev/null | head -n 1)
[ -n "$vectors" ] && ok "there is a vector file" || { ls "$work" >"$work/log"; not_ok "there is a vector file"; }
same() { # NAME
    "$coca" search "a red circle" -n 40 >"$work/out" 2>"$work/log"
    cmp -s "$work/out" "$work/answer" && ok "$1" || not_ok "$1"
}
poke "$vectors" 3000 'damage'
same "a damaged vector file changes no answer"
expect "and was made anew" 0 "the catalog is sound" "$coca" verify
head -c 1000 "$vectors" >"$work/cut" && cp "$work/cut" "$vectors"
same "nor does one that is cut short"
cp "$vectors" "$work/stale"
cp "$work"/drawn/00004*.jpg "$photos"
"$coca" index "$photos" >/dev/null 2>&1
cp "$work/stale" "$vectors"
expect "a stale one is made anew" 0 "50 vectors, made anew" "$coca" verify
foreign=$(ls "$work"/two.db.*vec* "$work"/two.db*faiss* "$work"/two.db*index* 2>/dev/null | head -n 1)
cp "$foreign" "$vectors"
expect "one of another catalog, too" 0 "50 vectors, made anew" "$coca" verify
rm "$vectors"
expect "and one that is missing" 0 "50 vectors, made anew" "$coca" verify

# --- another model
cp -r tests/data/tiny "$work/model"
"$coca" search "a red circle" -n 50 >"$work/answer" 2>/dev/null
expect "nothing is indexed by another model yet" 3 "nothing is indexed by the model" "$coca" search "a red circle" --model "$work/model"
expect "it embeds the same photos beside the first" 0 "50 embedded by this model" "$coca" index "$photos" --model "$work/model"
expect "and is searched by its own" 0 ".jpg" "$coca" similar "$photos/000001.jpg" --model "$work/model"
"$coca" search "a red circle" -n 50 >"$work/out" 2>"$work/log"
cmp -s "$work/out" "$work/answer" && ok "the first one's answers stay" || not_ok "the first one's answers stay"

# --- versions
cp tests/data/catalog-v1.db "$work/old.db"
expect "a reader of an older catalog says what to do" 1 "older version 1; hint:" "$coca" status --db "$work/old.db"
expect "indexing migrates it" 0 "40 new" "$coca" index "$photos" --exclude '00004*' --db "$work/old.db"
expect "then it can be read" 0 "photos" "$coca" status --db "$work/old.db"
cp "$work/library.db" "$work/newer.db"
poke "$work/newer.db" 60 '\0000\0000\0047\0017'
cp "$work/newer.db" "$work/newer.was"
for command in "status" "index $photos" "search red" "verify --repair"; do
    expect "'${command%% *}' refuses a newer catalog" 1 "install a newer coca" "$coca" $command --db "$work/newer.db"
done
cmp -s "$work/newer.db" "$work/newer.was" && ok "which stays as it is" || not_ok "which stays as it is"

# --- damage: random bytes over one page in five behind the first ones
cp "$work/library.db" "$work/broken.db"
pages=$(($(stat -c %s "$work/broken.db") / 8192))
for page in $(seq $((pages - 1)) -5 $((pages / 2))); do
    dd if=/dev/urandom of="$work/broken.db" bs=8192 seek="$page" count=1 conv=notrunc 2>/dev/null
done
cp "$work/broken.db" "$work/broken.was"
expect "damage is found" 1 "coca verify" "$coca" verify --db "$work/broken.db"
"$coca" verify --repair --db "$work/broken.db" >"$work/out" 2>"$work/log"
grep "repair: saved" "$work/out" >"$work/saved"
grep -q "damaged-\|dropped" "$work/out" && ok "what can be saved is saved" || not_ok "what can be saved is saved"
ls "$work"/broken.db.damaged-* >/dev/null 2>&1 && ok "and the damaged file is kept" || not_ok "and the damaged file is kept"
expect "the next run makes the rest again" 0 "50 photos" "$coca" index "$photos" --db "$work/broken.db"
expect "and all is sound" 0 "the catalog is sound" "$coca" verify --db "$work/broken.db"
head -c 5000 /dev/urandom >"$work/noise.db"
expect "what is no catalog is not touched" 1 "noise.db" "$coca" verify --repair --db "$work/noise.db"

# Where there is little room, or none, a repair puts a whole catalog in place or leaves the damaged one; room found, it saves as much.
if mount_disk size=64m; then
    size=$(stat -c %s "$work/broken.was")
    done=
    for percent in 102 140 180 205 215 240 300 400; do
        rm -f "$disk"/*
        mount -o remount,size=64m "$disk"
        cp "$work/broken.was" "$disk/library.db"
        mount -o remount,size=$((size * percent / 100)) "$disk"
        "$coca" verify --repair --db "$disk/library.db" >"$work/out" 2>"$work/log"
        if grep -q "repair: saved" "$work/out"; then done="$done $percent"; else grep -q "full\|No space\|I/O" "$work/log" || not_ok "a full disk is named at $percent"; fi
        mount -o remount,size=64m "$disk"
        grep -q "repair: saved" "$work/out" || "$coca" verify --repair --db "$disk/library.db" >"$work/out" 2>"$work/log"
        grep "repair: saved" "$work/out" | cmp -s - "$work/saved" || not_ok "a repair on a disk of $percent percent loses nothing"
        [ -z "$(ls "$disk" | grep tmp)" ] || not_ok "nothing half-made is left at $percent"
        "$coca" index "$photos" --db "$disk/library.db" >"$work/out" 2>"$work/log"
        expect "all is sound after a repair with $percent percent of its size" 0 "the catalog is sound" "$coca" verify --db "$disk/library.db"
    done
    echo "repaired at once with percent of its size:$done"
    case $done in *400*) ok "with room it is repaired at once" ;; *) not_ok "with room it is repaired at once" ;; esac
    case $done in *102*) not_ok "without room it is not" ;; *) ok "without room it is not" ;; esac
    unmount_disk
else
    echo "skip - repair with little room: no right to mount"
fi

# --- a catalog behind a link
mkdir "$work/there"
ln -s there/real.db "$work/link.db"
expect "a library is made where a link leads" 0 "50 photos" "$coca" index "$photos" --db "$work/link.db"
chmod 600 "$work/there/real.db"
index=$(ls "$work"/there/real.db-*.index)
rm "$index"
mkfifo "$index"
expect "a FIFO in an index's place is not waited for" 0 ".jpg" timeout 60 "$coca" search "a red circle" --db "$work/link.db"
rm "$index"
expect "and is searched through it" 0 ".jpg" "$coca" search "a red circle" --db "$work/link.db"
"$coca" index "$photos" --db "$work/link.db" >/dev/null 2>&1
is "what belongs to it is as private" sh -c "! find '$work/there' -type f -perm /077 | grep ."
is "and lies beside it" sh -c "test -h '$work/link.db' && ! ls '$work'/link.db[-.]* && ls '$work'/there/real.db-*.index"
dd if=/dev/urandom of="$work/there/real.db" bs=8192 seek=$(($(stat -c %s "$work/there/real.db") / 8192 - 2)) count=1 conv=notrunc 2>/dev/null
"$coca" verify --repair --db "$work/link.db" >"$work/out" 2>"$work/log"
is "and is repaired there, as private as before" sh -c "test -h '$work/link.db' && ls '$work'/there/real.db.damaged-* && test \$(stat -c %a '$work/there/real.db') = 600"

# --- bombs, with little memory to be had
mkdir "$work/bombs"
# A PNG header of 60,000 x 60,000 (its checksum with it), and the start of its data.
printf '\211PNG\r\n\032\n\0\0\0\015IHDR\0\0\352\140\0\0\352\140\010\002\0\0\0\327\320\015\203\0\0\0\004IDAT\170\234\0\0' >"$work/bombs/a.png"
# A JPEG of the same size.
printf '\377\330\377\300\0\021\010\352\140\352\140\003\001\021\0\002\021\0\003\021\0\377\332\0\014\003\001\0\002\0\003\0\0\077\0' >"$work/bombs/b.jpg"
# A HEIC whose box says 4 GB, and a WebP that says so.
printf '\0\0\0\030ftypheic\0\0\0\0heicmif1\377\377\377\360meta\0\0\0\0' >"$work/bombs/c.heic"
printf 'RIFF\360\377\377\377WEBPVP8X\012\0\0\0\0\0\0\0\137\352\0\137\352\0' >"$work/bombs/d.webp"
# A sparse file of 4 GB.
truncate -s 4G "$work/bombs/e.jpg"
cp "$work/drawn/000001.jpg" "$work/bombs/good.jpg"
# A sanitizer's shadow takes terabytes of addresses: there the limit is on a block instead.
case $(nm -D "$coca" 2>/dev/null) in *__asan_init*) limit=unlimited ;; *) limit=4000000 ;; esac
bombs() { (ulimit -v $limit; export ASAN_OPTIONS="${ASAN_OPTIONS:-}:max_allocation_size_mb=1024"; exec "$coca" index "$work/bombs" --db "$work/bombs.db" "$@"); }
expect "bombs are refused, their neighbour is indexed" 4 "1 new" bombs --jobs 1
[ "$(grep -c "/[a-e]\.[a-z]*'" "$work/log")" -eq 5 ] && ok "each is named" || not_ok "each is named"
[ "$(grep -c "60000 x 60000 pixels is too large" "$work/log")" -ge 2 ] && ok "by their headers" || not_ok "by their headers"
cp "$work/drawn/000002.jpg" "$work/bombs/good2.jpg"
rm -f "$work"/bombs/[a-e].*
expect "the limit can be set" 4 "at most 1000 pixels" "$coca" index "$work/bombs" --db "$work/limit.db" --limit-pixels 1000
expect "and set higher, what failed is tried again" 0 "2 changed" "$coca" index "$work/bombs" --db "$work/limit.db" --limit-pixels 1M

# --- a limit on the size of files
limited() { (ulimit -f 10; "$coca" index "$photos" --db "$work/limited.db"); }
expect "where files may not grow it is said" 1 "limited.db" limited
