#!/usr/bin/env bash
# Test with several processes on this machine (one per GPU, or CPU processes with gloo where there is no GPU).
# Usage: tools/dist_test.sh CONFIG CHECKPOINT PROCESSES [options of tools/test.py]
# Several machines: set NNODES, NODE_RANK, MASTER_ADDR and PORT alike on each. PYTHON chooses the interpreter.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib/launch.sh"
mmfas_need 3 'CONFIG CHECKPOINT PROCESSES [options of tools/test.py]' \
    'configs/x.py work_dirs/x/epoch_20.pth 4' "$@"
mmfas_torchrun "$3" test.py "$1" "$2" "${@:4}"
