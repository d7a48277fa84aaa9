#!/bin/bash
# OpenMP's settings, as machines for computing have them, change how fast the program is and nothing else.
. tests/cli/drawn.inc
unset ${!OMP_*}

"$coca" search dog -n 24 >"$work/plain" 2>&1
for setting in OMP_NESTED=true OMP_MAX_ACTIVE_LEVELS=2 OMP_NUM_THREADS=2,2 OMP_DYNAMIC=true OMP_THREAD_LIMIT=1 OMP_NUM_THREADS=1 \
        "OMP_NESTED=true OMP_NUM_THREADS=3,2,2 OMP_THREAD_LIMIT=5" OMP_PROC_BIND=true OMP_SCHEDULE=dynamic,1; do
    rm -f "$work/other.db"*
    # shellcheck disable=SC2086 # a list of settings is meant
    expect "$setting: index" 0 "24 new" timeout -k 5 300 env $setting "$coca" index "$photos" --db "$work/other.db"
    # shellcheck disable=SC2086
    expect "$setting: search" 0 "" timeout -k 5 300 env $setting "$coca" search dog -n 24
    is "$setting: it finds the same" cmp <(awk '{print $NF}' "$work/out" | sort) <(awk '{print $NF}' "$work/plain" | sort)
done
"$scenes" "$work/scenes.tar" --count 40 --size 48 --seed 5 >"$work/out" 2>&1
expect "training, too" 0 "" timeout -k 5 300 env OMP_NESTED=true OMP_NUM_THREADS=2,2 OMP_THREAD_LIMIT=2 \
    "$coca" train --from model/default --shards "$work/scenes.tar" --out "$work/trained" --steps 2 --batch 8
