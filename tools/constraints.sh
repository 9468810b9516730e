#!/usr/bin/env bash
# Write constraints.txt: one version of everything that `mmfas[all]` needs, for Python 3.10 to 3.13 on any system.
#   bash tools/constraints.sh                        pip install -c constraints.txt 'mmfas[all]' then gives the same again
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
uv=uv
if [ -x "${MMFAS_VENV:-$PWD/.venv}/bin/uv" ]; then uv=${MMFAS_VENV:-$PWD/.venv}/bin/uv; fi
"$uv" pip compile --quiet --universal --python-version 3.10 --no-annotate --no-header --no-emit-index-url --extra all \
    --output-file constraints.txt "$@" setup.py
