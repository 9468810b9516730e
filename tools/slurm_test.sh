#!/usr/bin/env bash
# Test on a Slurm cluster.
# Usage: tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [options of tools/test.py]
# Variables: GPUS (8), GPUS_PER_NODE (8, or all if fewer), CPUS_PER_TASK (5), SRUN_ARGS (more options), PYTHON.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib/launch.sh"
mmfas_need 4 'PARTITION JOB_NAME CONFIG CHECKPOINT [options of tools/test.py]' \
    'gpu my-test configs/x.py work_dirs/x/epoch_20.pth' "$@"
mmfas_srun "$1" "$2" test.py "${@:3}"
