"""Start and end of a process group, also on machines without a GPU."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from typing import Any

from mmfas.utils.errors import RunError


def start_distributed(launcher: str, env_cfg: Mapping[str, Any] | None = None) -> None:
    """Start the process group, if there is to be one and none exists; the runner then uses it.

    With GPUs mmengine does it; without one its start-up, which calls `torch.cuda.set_device`, would fail.

    Args:
        launcher: `'none'` (does nothing), `'pytorch'`, `'slurm'` or `'mpi'`.
        env_cfg: `env_cfg` of the config; with GPUs its `mp_cfg` and `dist_cfg` count.

    Raises:
        RuntimeError: If the launcher is `'pytorch'` or `'slurm'` but the process was not started by torchrun or
            srun.
    """
    import torch
    from torch import distributed

    if launcher == 'none' or distributed.is_initialized():
        return
    if torch.cuda.is_available():
        from mmengine.dist import init_dist
        from mmengine.utils.dl_utils import set_multi_processing

        env_cfg = env_cfg or {}
        # First, as in the runner: `init_dist` would choose another way of starting processes.
        set_multi_processing(**env_cfg.get('mp_cfg', {}), distributed=True)
        init_dist(launcher, **env_cfg.get('dist_cfg', {}))
        return
    if launcher == 'slurm':
        _read_slurm()
    elif launcher != 'pytorch':
        raise RunError(f"launcher '{launcher}' needs GPUs; without one, use --launcher pytorch (gloo)")
    missing = [name for name in ('RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT') if name not in os.environ]
    if missing:
        raise RunError(
            f'--launcher pytorch needs {", ".join(missing)}: start with tools/dist_train.sh or torchrun'
        )
    for name in ('RANK', 'WORLD_SIZE', 'MASTER_PORT'):
        if not os.environ[name].isdecimal():
            raise RunError(f'{name} must be a number, 0 or more, got {os.environ[name]!r}: start with torchrun')
    distributed.init_process_group('gloo')


def _read_slurm() -> None:
    """Say in the variables of torchrun what srun says in its own."""
    names = {'RANK': 'SLURM_PROCID', 'WORLD_SIZE': 'SLURM_NTASKS', 'LOCAL_RANK': 'SLURM_LOCALID'}
    missing = [name for name in (*names.values(), 'SLURM_JOB_NODELIST', 'SLURM_JOB_ID') if name not in os.environ]
    if missing:
        raise RunError(f'--launcher slurm needs {", ".join(missing)}: start with tools/slurm_train.sh or srun')
    os.environ.update({name: os.environ[other] for name, other in names.items()})
    call = ['scontrol', 'show', 'hostnames', os.environ['SLURM_JOB_NODELIST']]
    nodes = subprocess.run(call, capture_output=True, text=True, check=True).stdout.split()
    os.environ.setdefault('MASTER_ADDR', nodes[0])
    # Jobs on one node must not meet; all processes of a job know its number.
    os.environ.setdefault('MASTER_PORT', str(20000 + int(os.environ['SLURM_JOB_ID']) % 20000))


def num_launched(launcher: str) -> int:
    """Return how many processes a launcher has started, before they have met.

    Args:
        launcher: `'none'`, `'pytorch'`, `'slurm'` or `'mpi'`.

    Returns:
        The number; 1 where the variable of the launcher is missing, which `start_distributed` reports.
    """
    variable = {'pytorch': 'WORLD_SIZE', 'slurm': 'SLURM_NTASKS', 'mpi': 'OMPI_COMM_WORLD_SIZE'}.get(launcher, '')
    given = os.environ.get(variable, '1')
    return max(1, int(given)) if given.isdecimal() else 1


def finish_distributed() -> None:
    """Wait for the other processes and close the group; without it a process that ends first takes gloo down."""
    from torch import distributed

    if distributed.is_available() and distributed.is_initialized():
        distributed.barrier()
        distributed.destroy_process_group()
