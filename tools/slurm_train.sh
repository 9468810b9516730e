#!/usr/bin/env bash
# Train on a Slurm cluster.
# Usage: tools/slurm_train.sh PARTITION JOB_NAME CONFIG [options of tools/train.py]
# Variables: GPUS (8), GPUS_PER_NODE (8, or all if fewer), CPUS_PER_TASK (5), SRUN_ARGS (more options), PYTHON.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib/launch.sh"
mmfas_need 3 'PARTITION JOB_NAME CONFIG [options of tools/train.py]' 'gpu my-run configs/x.py --amp' "$@"
mmfas_srun "$1" "$2" train.py "${@:3}"
