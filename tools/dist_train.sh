#!/usr/bin/env bash
# Train with several processes on this machine (one per GPU, or CPU processes with gloo where there is no GPU).
# Usage: tools/dist_train.sh CONFIG PROCESSES [options of tools/train.py]
# Several machines: set NNODES, NODE_RANK, MASTER_ADDR and PORT alike on each. PYTHON chooses the interpreter.
set -euo pipefail
if [ "$#" -lt 2 ]; then
    echo "usage: $0 CONFIG PROCESSES [options of tools/train.py]" >&2
    echo "such as: tools/dist_train.sh configs/x.py 4 --amp" >&2
    exit 2
fi
CONFIG="$1"
PROCESSES="$2"
shift 2
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

# Without a fixed port two runs on one machine would collide.
if [ -z "${PORT:-}" ] && [ "${NNODES:-1}" = 1 ]; then
    RENDEZVOUS=(--standalone)
else
    RENDEZVOUS=(--master-addr "${MASTER_ADDR:-127.0.0.1}" --master-port "${PORT:-29500}")
fi
PYTHONPATH="$ROOT${PYTHONPATH:+:$PYTHONPATH}" exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes "${NNODES:-1}" --node-rank "${NODE_RANK:-0}" --nproc-per-node "$PROCESSES" "${RENDEZVOUS[@]}" \
    "$ROOT/tools/train.py" "$CONFIG" --launcher pytorch "$@"
