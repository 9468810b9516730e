#!/usr/bin/env bash
# Collect the wheels that a machine without a network lacks to run tools/gpu_checks.sh, if it has torch.
#   bash tools/gpu_wheels.sh                    list them, with versions and sizes as installed here
#   bash tools/gpu_wheels.sh DIR [3.12]         download them into DIR, for that Python on x86-64 Linux
# MMFAS_GPU_HAS names further packages that it has, MMFAS_GPU_LACKS those that it lacks though most machines with torch
# have them; separated by spaces. PYTHON chooses the interpreter, which needs mmfas[onedl] and, to download, pip or uv.
# Ends with status 1 if the folder holds more than MMFAS_GPU_MIB (64), what a transfer may be.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PYTHON=${PYTHON:-python3}
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"

read -r -a have <<< "${MMFAS_GPU_HAS:-}"
read -r -a lack <<< "${MMFAS_GPU_LACKS:-}"
table=$("$PYTHON" -m mmfas measure gpu --list-wheels ${have[@]+--have "${have[@]}"} ${lack[@]+--lack "${lack[@]}"})
if [ "$#" -eq 0 ]; then
    printf '%s\n' "$table"
    exit 0
fi
folder=$1 version=${2:-3.12}
mapfile -t pure < <(printf '%s\n' "$table" | awk 'NF == 5 && $5 == "pure" { print $1 "==" $2 }')
mapfile -t compiled < <(printf '%s\n' "$table" | awk 'NF == 5 && $5 == "compiled" { print $1 "==" $2 }')
platforms=()
for tag in manylinux1 manylinux2014 manylinux_2_17 manylinux_2_24 manylinux_2_27 manylinux_2_28 manylinux_2_34; do
    platforms+=(--platform "${tag}_x86_64")
done
pip=("$PYTHON" -m pip)
if ! "${pip[@]}" --version > /dev/null 2>&1; then # an environment of uv has none
    command -v uv > /dev/null || { echo "$PYTHON has no pip, and there is no uv; install one of them" >&2; exit 1; }
    pip=(uv tool run pip)
fi
mkdir -p "$folder"
rm -f "$folder"/*.whl # two versions of a package cannot be installed together
# One wheel serves every machine; some packages have none on the index (onedl-mmcv), so it is built here.
[ "${#pure[@]}" -eq 0 ] || "${pip[@]}" wheel --quiet --no-deps --wheel-dir "$folder" "${pure[@]}"
for wheel in "$folder"/*.whl; do
    case $wheel in
        *-none-any.whl | "$folder/*.whl") ;;
        *) echo "$wheel was built for this machine and would not run on another one" >&2; exit 1 ;;
    esac
done
[ "${#compiled[@]}" -eq 0 ] || "${pip[@]}" download --quiet --no-deps --only-binary=:all: --python-version "$version" \
    --implementation cp "${platforms[@]}" -d "$folder" "${compiled[@]}"
du -k "$folder"/*.whl | awk -v most="${MMFAS_GPU_MIB:-64}" '
    { sum += $1; printf "%8.2f MiB  %s\n", $1 / 1024, $2 }
    END {
        printf "%8.2f MiB  in all\n", sum / 1024
        if (sum / 1024 > most) { printf "more than %d MiB\n", most > "/dev/stderr"; exit 1 }
    }'
