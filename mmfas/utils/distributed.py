"""Start and end of a process group, also on machines without a GPU."""

from __future__ import annotations

import os


def start_distributed(launcher: str) -> None:
    """Start the process group where mmengine's own start-up fails: on machines without a GPU.

    The runner skips its start-up, which calls `torch.cuda.set_device`, if a group exists.

    Args:
        launcher: `'none'` (does nothing), `'pytorch'`, `'slurm'` or `'mpi'`.

    Raises:
        RuntimeError: If the launcher is `'pytorch'` but the process was not started by torchrun.
    """
    import torch
    from torch import distributed

    if launcher == 'none' or torch.cuda.is_available() or distributed.is_initialized():
        return
    if launcher != 'pytorch':
        raise RuntimeError(f"launcher '{launcher}' needs GPUs; without one, use --launcher pytorch (gloo)")
    missing = [name for name in ('RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT') if name not in os.environ]
    if missing:
        raise RuntimeError(
            f'--launcher pytorch needs {", ".join(missing)}: start with tools/dist_train.sh or torchrun'
        )
    distributed.init_process_group('gloo')


def finish_distributed() -> None:
    """Wait for the other processes and close the group; without it a process that ends first takes gloo down."""
    from torch import distributed

    if distributed.is_available() and distributed.is_initialized():
        distributed.barrier()
        distributed.destroy_process_group()
