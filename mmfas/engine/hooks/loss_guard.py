"""A loss that is NaN or infinite stops the run, and says which term and which samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from mmfas.registry import HOOKS
from mmfas.utils.errors import InputError, NotFiniteError

_MAX_IDS = 16


@HOOKS.register_module()
class LossGuardHook(Hook):
    """Stop the run when a loss term is NaN or infinite, before anything of it is saved.

    On a GPU the finite-or-not flags stay on the device and are read together every `interval` iterations, so
    that the check costs no synchronisation per step; on the CPU they are read at once.

    Args:
        interval: Iterations between two reads on a GPU, at least 1.

    Raises:
        FloatingPointError: In training, if a term is not finite; names the terms, epoch, iteration and samples.
    """

    priority = 'ABOVE_NORMAL'

    def __init__(self, interval: int = 10) -> None:
        if interval < 1:
            raise InputError(f'interval must be at least 1 iteration, got {interval}')
        self.interval = interval
        self._pending: list[tuple[int, tuple[str, ...], list[str], Tensor]] = []

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Mapping[str, Any] | None = None
    ) -> None:
        """Note whether each term of this step is finite, and read the notes when it is time."""
        terms = {name: value for name, value in (outputs or {}).items() if isinstance(value, Tensor)}
        if not terms:
            return
        values = torch.stack([value.detach().float().mean() for value in terms.values()])
        ids = [str(sample.get('sample_id', '?')) for sample in _samples(data_batch)]
        self._pending.append((runner.iter, tuple(terms), ids, torch.isfinite(values)))
        if _is_free_to_read(values) or len(self._pending) >= self.interval:
            self._read(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        """Read what is left before the epoch is saved."""
        self._read(runner)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Read what is left before anything is saved."""
        self._read(runner)

    def _read(self, runner: Runner) -> None:
        pending, self._pending = self._pending, []
        if not pending or bool(torch.cat([flags for *_, flags in pending]).all()):
            return
        for iteration, names, ids, flags in pending:
            bad = [name for name, fine in zip(names, flags.tolist(), strict=True) if not fine]
            if bad:
                raise NotFiniteError(_message(bad, runner, iteration, ids))


def _is_free_to_read(values: Tensor) -> bool:
    """Tell whether the host can read a tensor without waiting for a device."""
    return values.device.type == 'cpu'


def _samples(data_batch: Any) -> list[Any]:
    """Return the data samples of a batch, or nothing where it has none."""
    samples = data_batch.get('data_samples', []) if isinstance(data_batch, Mapping) else []
    return list(samples)


def _message(bad: list[str], runner: Runner, iteration: int, ids: list[str]) -> str:
    # The total is not finite whenever a term is; it is named only if it stands alone.
    terms = [name for name in bad if name != 'loss'] or bad
    more = f' and {len(ids) - _MAX_IDS} more' if len(ids) > _MAX_IDS else ''
    return (
        f'{", ".join(terms)} is NaN or infinite at epoch {runner.epoch + 1}, iteration {iteration + 1} (rank '
        f'{runner.rank}); samples of the batch: {", ".join(ids[:_MAX_IDS]) or "unknown"}{more}. Look at these '
        'samples (mmfas data verify), lower the learning rate or clip gradients '
        '(`optim_wrapper.clip_grad=dict(max_norm=1.0)`); --resume continues from the last good epoch'
    )
