"""Functions run by several processes of one group, forked from the server that has imported everything."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from fork_server import warm_context

#: Called with the rank and a folder; a function of a module, so that another process finds it by its name.
Work = Callable[[int, Path], Any]


def run_group(work: Work, folder: Path, num_ranks: int = 2) -> list[Any]:
    """Run `work(rank, folder)` on every rank of a gloo group, with one thread each.

    Args:
        work: What every rank does; what it returns must be something that `torch.save` writes.
        folder: Where the ranks find each other, and may leave files.
        num_ranks: Number of processes.

    Returns:
        What the ranks returned.

    Raises:
        AssertionError: If a rank fails or does not end; with its traceback.
    """
    ranks: list[BaseProcess] = [
        warm_context().Process(target=_run, args=(work, folder, rank, num_ranks)) for rank in range(num_ranks)
    ]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(60)
        process.kill()
        process.join()
    texts = [file.read_text() for file in sorted(folder.glob('failed_*.txt'))]
    assert not texts and all(process.exitcode == 0 for process in ranks), '\n'.join(texts) or 'a rank did not end'
    return [torch.load(folder / f'returned_{rank}.pth', weights_only=True) for rank in range(num_ranks)]


def _run(work: Work, folder: Path, rank: int, num_ranks: int) -> None:
    try:
        torch.set_num_threads(1)
        dist.init_process_group('gloo', init_method=f'file://{folder}/meeting', rank=rank, world_size=num_ranks)
        torch.save(work(rank, folder), folder / f'returned_{rank}.pth')
        dist.destroy_process_group()
    except BaseException:
        (folder / f'failed_{rank}.txt').write_text(traceback.format_exc())
        raise
