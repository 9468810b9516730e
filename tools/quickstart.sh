#!/usr/bin/env bash
# From a bare machine to a verdict: install, render SynthFAS, train, test honestly, print a table, make a bundle and
# judge one live person and one attack with it.
#   bash tools/quickstart.sh            everything; a second run skips what is done
#   bash tools/quickstart.sh --fresh    forget data and results of earlier runs first (the environment stays)
# Needs Python >= 3.10 and a package index; no GPU, no licensed data, no weights from elsewhere.
# MMFAS_VENV names another place for the virtual environment, MMFAS_PYTHON an interpreter that has mmfas already,
# MMFAS_QUICKSTART_DIR another folder for data and results, MMFAS_QUICKSTART_SIZE and _CONFIG other data and config,
# MMFAS_QUICKSTART_PROCESSES how many processes train (1 to 9).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "${MMFAS_QUICKSTART_DIR:-$root}"
source "$root/tools/lib/environment.sh"

size=${MMFAS_QUICKSTART_SIZE:-small}
config=${MMFAS_QUICKSTART_CONFIG:-$root/configs/mmdg/mmdg_mini-vit_1xb32-12e_synthfas-cps2w_pretrained-finetuned.py}
data=data/synthfas_$size
work=work_dirs/quickstart_$size
# Waiting threads sleep: with loaders or other programs on the same cores, spinning makes a step three times slower.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-2} OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-PASSIVE} MPLBACKEND=Agg

stop() {
    printf '\n[mmfas] quick start stopped: %s\n' "$1" >&2
    exit 1
}

hash_of() { cat "$@" | cksum | tr -d ' \n'; }

# step NAME KEY RESULT COMMAND...: run the command unless an earlier run finished it with the same key.
step() {
    local name=$1 key=$2 result=$3 done=$work/.$1.done
    shift 3
    if [ -e "$result" ] && [ "$(cat "$done" 2>/dev/null)" = "$key" ]; then
        mmfas_say "$name: done before"
        return 0
    fi
    mmfas_say "$name ..."
    rm -f "$done"
    local start=$SECONDS
    "$@" 2>&1 | tee "$work/$name.log" ||
        stop "'$name' failed; the reason is above and in $work/$name.log (--fresh forgets earlier runs)"
    [ -e "$result" ] || stop "'$name' ended without $result; see $work/$name.log"
    printf '%s' "$key" > "$done"
    mmfas_say "$name: $((SECONDS - start)) s"
}

# Products of matrices this small gain little from a second thread: two processes with half of each batch do the
# same, and faster. That is for the config that comes with mmfas, on Linux, with two cores and no GPU.
num_processes() {
    if [ -n "${MMFAS_QUICKSTART_PROCESSES:-}" ]; then
        printf '%s' "$MMFAS_QUICKSTART_PROCESSES"
    elif [ -n "${MMFAS_QUICKSTART_CONFIG:-}" ]; then
        printf 1
    else
        "$MMFAS_PYTHON" -c 'import os, torch
cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
print(2 if cores > 1 and not torch.cuda.is_available() else 1)'
    fi
}

# Continue an interrupted training of the same config and data; start over if either has changed.
train() {
    if [ "$(cat "$work/.train.key" 2>/dev/null)" != "$train_key" ]; then
        rm -rf "$work/train"
        printf '%s' "$train_key" > "$work/.train.key"
    fi
    local processes
    processes=$(num_processes)
    case $processes in
        1) "$MMFAS_PYTHON" "$root/tools/train.py" "$config" --work-dir "$work/train" --resume ;;
        [2-9])
            # They leave no core to workers that load. Variables of a cluster are not meant for them.
            [ ! -e /sys/class/net/lo ] || export GLOO_SOCKET_IFNAME=lo
            env -u PORT -u NNODES -u NODE_RANK -u MASTER_ADDR OMP_NUM_THREADS=1 PYTHON="$MMFAS_PYTHON" \
                bash "$root/tools/dist_train.sh" "$config" "$processes" --split-batch --work-dir "$work/train" \
                --resume --no-persistent-workers \
                --cfg-options train_dataloader.num_workers=0 val_dataloader.num_workers=0
            ;;
        *) stop "MMFAS_QUICKSTART_PROCESSES must be 1 to 9, but is '$processes'" ;;
    esac &&
        best=("$work"/train/best_*.pth) && cp "${best[0]}" "$work/best.pth"
}

# The first live person and the first attack of the test list, which the model has never seen.
two_triples() {
    printf 'sample_id,rgb,depth,ir\n'
    awk -v root="$PWD/$data" '!seen[$4]++ {
        printf "%s,%s/%s,%s/%s,%s/%s\n", ($4 == 1 ? "live" : "attack"), root, $1, root, $2, root, $3
    }' <(tr -d '\r' < "$data/protocols/W-test.txt")
}

judge() {
    two_triples > "$work/triples.csv"
    "$MMFAS_PYTHON" -m mmfas predict "$work/model.mmfas.pth" "$work/triples.csv" --out-dir "$work/verdicts" --device cpu &&
        { "$MMFAS_PYTHON" -m mmfas predict "$work/model.mmfas.pth" --probe --device cpu ||
            mmfas_say 'the model calls a scene live that has no face in it; see above'; }
}

close() { "$MMFAS_PYTHON" -m mmfas.cli.quickstart_report "$work/test" > "$work/table.txt"; }

case ${1:-} in
    '') ;;
    --fresh)
        rm -rf "$work"
        if [ -e "$data/manifest.json" ]; then rm -rf "$data"; fi
        ;;
    *) stop "unknown argument '$1'; only --fresh is known" ;;
esac
if [ -z "${MMFAS_PYTHON:-}" ]; then
    mmfas_environment "${MMFAS_VENV:-$root/.venv}" onedl || stop 'no environment; the reason is above'
fi
mkdir -p "$work" "$(dirname "$data")"

step render "$size $(hash_of "$root"/mmfas/synthfas/*.py "$root"/mmfas/synthfas/*/*.py)" "$data/manifest.json" \
    "$MMFAS_PYTHON" "$root/tools/dataset_converters/render_synthfas.py" "$data" --size "$size"
# What the config may inherit, and the weights that come with the package.
inherited=("$root"/configs/*/*.py "$root"/configs/_base_/*/*.py "$root"/mmfas/shipped/*)
train_key="$(hash_of "$config" "${inherited[@]}") $(hash_of "$data/manifest.json")"
step train "$train_key" "$work/best.pth" train
step test "$train_key $(hash_of "$work/best.pth")" "$work/test/report.json" \
    "$MMFAS_PYTHON" "$root/tools/test.py" "$config" "$work/best.pth" --out "$work/test" \
    --site-list protocols/W-val.txt
step table "$(hash_of "$work/test/report.json")" "$work/table.txt" close
step bundle "$train_key $(hash_of "$work/best.pth")" "$work/model.mmfas.pth" \
    "$MMFAS_PYTHON" -m mmfas bundle "$config" "$work/best.pth" --dev-scores "$work/test/dev.csv" \
    --out "$work/model.mmfas.pth"
step predict "$(hash_of "$work/model.mmfas.pth")" "$work/verdicts/verdicts.csv" judge

cat "$work/table.txt"
printf 'figure: %s\n' "$work"/test/*.png
printf 'report: %s\n' "$work/test/report.md"
printf 'bundle: %s\n' "$work/model.mmfas.pth"
printf 'verdict: %s\n' "$work"/verdicts/*.png
