#!/usr/bin/env bash
# Train with several processes on this machine (one per GPU, or CPU processes with gloo where there is no GPU).
# Usage: tools/dist_train.sh CONFIG PROCESSES [options of tools/train.py]
# Several machines: set NNODES, NODE_RANK, MASTER_ADDR and PORT alike on each. PYTHON chooses the interpreter.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib/launch.sh"
mmfas_need 2 'CONFIG PROCESSES [options of tools/train.py]' 'configs/x.py 4 --amp' "$@"
mmfas_torchrun "$2" train.py "$1" "${@:3}"
