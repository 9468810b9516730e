#!/usr/bin/env bash
# Check a GPU in minutes, on a machine that has torch and needs no network: correctness 90 s, training 180 s, scoring
# 60 s, data path 30 s. Each section is a process of its own that ends by its own clock; one that fails or hangs is
# named, and the next one runs. Lines of JSON are written as they come, the tables are printed last.
#   bash tools/gpu_checks.sh --wheels DIR --out DIR            the four sections
#   bash tools/gpu_checks.sh --wheels DIR --out DIR synthfas   the second call: render, train, test; 300 s
#   bash tools/gpu_checks.sh --device cpu --tiny               the same code at tiny sizes
# --wheels DIR installs the wheels of a folder (see tools/gpu_wheels.sh) into a temporary one, from no index.
# --seconds N limits each section named. Other options go to `mmfas measure gpu`. PYTHON chooses the interpreter.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PYTHON=${PYTHON:-python3}
out=work_dirs/gpu_checks wheels='' seconds=''
sections=() options=()

say() { printf '[mmfas] %s\n' "$*" >&2; }
need() { [ "$#" -ge 2 ] || { say "$1 needs a value"; exit 2; }; }

while [ "$#" -gt 0 ]; do
    case $1 in
        --wheels) need "$@"; wheels=$2; shift 2 ;;
        --out) need "$@"; out=$2; shift 2 ;;
        --seconds) need "$@"; seconds=$2; shift 2 ;;
        --tiny) options+=(--tiny); shift ;;
        --*) need "$@"; options+=("$1" "$2"); shift 2 ;;
        *) sections+=("$1"); shift ;;
    esac
done
[ "${#sections[@]}" -gt 0 ] || sections=(correctness training scoring data_path)

limit() {
    case $1 in
        correctness) echo 90 ;; training) echo 180 ;; scoring) echo 60 ;; data_path) echo 30 ;; synthfas) echo 300 ;;
        *) say "there is no section '$1'; the sections are correctness, training, scoring, data_path, synthfas"; exit 2 ;;
    esac
}
for name in "${sections[@]}"; do limit "$name" > /dev/null || exit 2; done

export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1 MPLBACKEND=Agg
if [ -n "$wheels" ]; then
    site=$(mktemp -d)
    trap 'rm -rf "$site"' EXIT
    "$PYTHON" -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir --target "$site" "$wheels"/*.whl || {
        say "the wheels of $wheels could not be installed; make the folder with tools/gpu_wheels.sh"
        exit 2
    }
    PYTHONPATH="$PYTHONPATH:$site"
fi
# Named all at once, before any time is spent.
missing=$("$PYTHON" -c '
from importlib.util import find_spec
modules = dict(
    torch="torch", torchvision="torchvision", numpy="numpy", scipy="scipy", skimage="scikit-image",
    sklearn="scikit-learn", matplotlib="matplotlib", PIL="pillow", cv2="opencv-python-headless", yaml="pyyaml",
    packaging="packaging", filelock="filelock", rich="rich", typing_extensions="typing-extensions",
    mmengine="onedl-mmengine", mmcv="onedl-mmcv", mmpretrain="onedl-mmpretrain", prettytable="prettytable",
    simplejpeg="simplejpeg", safetensors="safetensors", argcomplete="argcomplete",
)
print(*(package for module, package in modules.items() if find_spec(module) is None))
') || { say "$PYTHON does not run; PYTHON chooses another one"; exit 2; }
if [ -n "$missing" ]; then
    say "$PYTHON lacks: $missing; carry them: MMFAS_GPU_LACKS='$missing' bash tools/gpu_wheels.sh DIR, then --wheels DIR"
    exit 2
fi
mkdir -p "$out" && : > "$out/checks.log" || exit 2

# What a section needs beyond its clock: imports, and an item that has begun when the time is over.
grace=${MMFAS_GPU_GRACE:-40}
failed=0
for name in "${sections[@]}"; do
    bound=${seconds:-$(limit "$name")}
    say "$name ($bound s) ..."
    section_log=$(mktemp)
    timeout --kill-after=10 "$(awk "BEGIN { print int($bound + $grace + 1) }")" \
        "$PYTHON" -m mmfas measure gpu "$name" --out "$out" --seconds "$bound" ${options[@]+"${options[@]}"} \
        > "$section_log" 2>&1
    code=$?
    if [ "$code" -ne 0 ]; then
        failed=1
        say "$name: exit status $code; the end of what it printed (all of it is in $out/checks.log):"
        tail -n 5 "$section_log" >&2
        # 0 and 1 are the program's own; with any other the section did not come to its end
        [ "$code" -eq 1 ] || printf '\n{"section": "%s", "method": "", "check": "section", "status": "failed", "reason": "exit status %s"}\n' \
            "$name" "$code" >> "$out/$name.jsonl"
    fi
    cat "$section_log" >> "$out/checks.log"
    rm -f "$section_log"
done
"$PYTHON" -m mmfas measure gpu --tables --out "$out" | tee "$out/tables.md"
exit "$failed"
