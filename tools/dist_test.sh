#!/usr/bin/env bash
# Test with several processes on this machine (one per GPU, or CPU processes with gloo where there is no GPU).
# Usage: tools/dist_test.sh CONFIG CHECKPOINT PROCESSES [options of tools/test.py]
# Several machines: set NNODES, NODE_RANK, MASTER_ADDR and PORT alike on each. PYTHON chooses the interpreter.
set -euo pipefail
if [ "$#" -lt 3 ]; then
    echo "usage: $0 CONFIG CHECKPOINT PROCESSES [options of tools/test.py]" >&2
    echo "such as: tools/dist_test.sh configs/x.py work_dirs/x/epoch_20.pth 4" >&2
    exit 2
fi
CONFIG="$1"
CHECKPOINT="$2"
PROCESSES="$3"
shift 3
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

# Without a fixed port two runs on one machine would collide.
if [ -z "${PORT:-}" ] && [ "${NNODES:-1}" = 1 ]; then
    RENDEZVOUS=(--standalone)
else
    RENDEZVOUS=(--master-addr "${MASTER_ADDR:-127.0.0.1}" --master-port "${PORT:-29500}")
fi
PYTHONPATH="$ROOT${PYTHONPATH:+:$PYTHONPATH}" exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes "${NNODES:-1}" --node-rank "${NODE_RANK:-0}" --nproc-per-node "$PROCESSES" "${RENDEZVOUS[@]}" \
    "$ROOT/tools/test.py" "$CONFIG" "$CHECKPOINT" --launcher pytorch "$@"
