# How dist_*.sh and slurm_*.sh start their processes; source it from bash.
#
#   mmfas_need COUNT USAGE EXAMPLE "$@"      end with the usage unless there are COUNT arguments
#   mmfas_torchrun PROCESSES COMMAND ARGS    run tools/COMMAND in several processes on this machine
#   mmfas_srun PARTITION JOB_NAME COMMAND ARGS    the same on a Slurm cluster
#
# PYTHON chooses the interpreter; mmfas is found beside these scripts, installed or not.

mmfas_tools=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PYTHON=${PYTHON:-python}
export PYTHONPATH="$(dirname "$mmfas_tools")${PYTHONPATH:+:$PYTHONPATH}"

mmfas_need() {
    local count=$1 usage=$2 example=$3
    shift 3
    if [ "$#" -lt "$count" ]; then
        printf 'usage: %s %s\nsuch as: %s %s\n' "$0" "$usage" "$0" "$example" >&2
        exit 2
    fi
}

mmfas_torchrun() {
    local processes=$1 command=$2 rendezvous
    shift 2
    # Without a fixed port two runs on one machine would collide. The address: not every machine can resolve its name.
    if [ -z "${PORT:-}" ] && [ "${NNODES:-1}" = 1 ]; then
        rendezvous=(--standalone --local-addr 127.0.0.1)
    else
        rendezvous=(--master-addr "${MASTER_ADDR:-127.0.0.1}" --master-port "${PORT:-29500}")
    fi
    exec "$PYTHON" -m torch.distributed.run \
        --nnodes "${NNODES:-1}" --node-rank "${NODE_RANK:-0}" --nproc-per-node "$processes" "${rendezvous[@]}" \
        "$mmfas_tools/$command" --launcher pytorch "$@"
}

mmfas_srun() {
    local partition=$1 job_name=$2 command=$3 gpus=${GPUS:-8} per_node
    shift 3
    per_node=${GPUS_PER_NODE:-$((gpus < 8 ? gpus : 8))}
    # SRUN_ARGS is split into words on purpose: it holds several options.
    # shellcheck disable=SC2086
    exec srun -p "$partition" --job-name "$job_name" --gres "gpu:$per_node" --ntasks "$gpus" \
        --ntasks-per-node "$per_node" --cpus-per-task "${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
        "$PYTHON" -u "$mmfas_tools/$command" --launcher slurm "$@"
}
