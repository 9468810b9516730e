#!/usr/bin/env bash
# Collect the wheels that a machine without a network lacks to run tools/gpu_checks.sh, if it has torch.
#   bash tools/gpu_wheels.sh                    list them, with versions and sizes as installed here
#   bash tools/gpu_wheels.sh DIR [3.12]         download them into DIR, for that Python on x86-64 Linux
# MMFAS_GPU_HAS names further packages that it has, separated by spaces. PYTHON chooses the interpreter, which needs
# mmfas[onedl] and, to download, pip.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PYTHON=${PYTHON:-python3}
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"

read -r -a have <<< "${MMFAS_GPU_HAS:-}"
table=$("$PYTHON" -m mmfas measure gpu --list-wheels ${have[@]+--have "${have[@]}"})
if [ "$#" -eq 0 ]; then
    printf '%s\n' "$table"
    exit 0
fi
folder=$1 version=${2:-3.12}
mapfile -t names < <(printf '%s\n' "$table" | awk 'NF == 5 { print $1 "==" $2 }')
platforms=()
for tag in manylinux1 manylinux2014 manylinux_2_17 manylinux_2_24 manylinux_2_27 manylinux_2_28 manylinux_2_34; do
    platforms+=(--platform "${tag}_x86_64")
done
"$PYTHON" -m pip download --quiet --no-deps --only-binary=:all: --python-version "$version" --implementation cp \
    "${platforms[@]}" -d "$folder" "${names[@]}"
du -k "$folder"/*.whl | awk '{ sum += $1; printf "%8.2f MiB  %s\n", $1 / 1024, $2 } END { printf "%8.2f MiB  in all\n", sum / 1024 }'
