"""Refresh the class prototypes of a head from the training data, between epochs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from mmengine.dist import all_reduce, get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import IterBasedTrainLoop, Runner
from torch import nn
from torch.utils.data import DataLoader, Subset

from mmfas.engine.hooks.sample_seed import base_seed
from mmfas.registry import HOOKS
from mmfas.structures import domain_codes_of, targets_of
from mmfas.utils.errors import InputError, WrongTypeError


@HOOKS.register_module()
class PrototypeRefreshHook(Hook):
    """Average the features of each class over a part of the training samples, and hand them to the head.

    From MMDG (arXiv 2402.19298): before the first epoch, and after every epoch with `p <- 0.2 p + 0.8 mean`. The
    model is in evaluation mode meanwhile and sees the training pipeline of that epoch. Which samples are taken
    derives from (seed, number of the refresh) alone, and sums are added over the processes: any number of them
    gives the same prototypes. They are in the head's state dict, so a resumed run needs no refresh.

    Differs from the released code: a part of the samples is taken, not of the batches; the mode of the model is
    restored (released: it stays in evaluation mode); the first refresh comes before training; the images are those
    that the model is trained on (released: [IR, HOG, PLGF] in place of IR).

    Args:
        share: Fraction of the samples, in (0, 1].
        momentum: Weight of the old prototypes, in [0, 1); the first refresh has none.

    Raises:
        ValueError: If an argument is out of range.
        TypeError: When training starts, if the head of the model has no prototypes or training is not epoch-based.
    """

    priority = 'NORMAL'

    def __init__(self, share: float = 0.5, momentum: float = 0.2) -> None:
        if not 0 < share <= 1 or not 0 <= momentum < 1:
            raise InputError(f'share must lie in (0, 1] and momentum in [0, 1), but got {share} and {momentum}')
        self.share = share
        self.momentum = momentum

    def before_train(self, runner: Runner) -> None:
        """Refuse training by iterations, which would never refresh."""
        if isinstance(runner.train_loop, IterBasedTrainLoop):
            raise WrongTypeError(
                'PrototypeRefreshHook refreshes after every epoch, but this run counts iterations only; set '
                'train_cfg=dict(by_epoch=True, max_epochs=...)'
            )

    def before_train_epoch(self, runner: Runner) -> None:
        """Make the first prototypes."""
        if runner.epoch == 0:
            self._refresh(runner, number=0)

    def after_train_epoch(self, runner: Runner) -> None:
        """Move the prototypes to what the model makes of the data now."""
        self._refresh(runner, number=runner.epoch + 1)

    @torch.no_grad()
    def _refresh(self, runner: Runner, number: int) -> None:
        model: Any = runner.model.module if is_model_wrapper(runner.model) else runner.model
        head = _head_of(model)
        if number == 0:  # no momentum for the first prototypes: use the plain means
            head.forget_prototypes()
        sums, counts = torch.zeros_like(head.prototypes, dtype=torch.float64), head.seen.double() * 0
        was_training = model.training
        model.train(False)
        for batch in self._batches(runner, number):
            data = model.data_preprocessor(batch, False)
            inputs, samples = data['inputs'], data['data_samples']
            domain = domain_codes_of(samples, sums.device)
            features = model.extract_feat(inputs)
            new = head.class_sums(features, targets_of(samples, sums.device), inputs['present'], domain=domain)
            sums, counts = sums + new[0], counts + new[1]
        model.train(was_training)
        all_reduce(sums)
        all_reduce(counts)
        head.update_prototypes(sums, counts, self.momentum)

    def _batches(self, runner: Runner, number: int) -> Iterator[Any]:
        """Load the samples of this process."""
        loader = runner.train_dataloader
        rng = np.random.default_rng((base_seed(runner), number))
        length = len(loader.dataset)
        chosen = rng.permutation(length)[: max(1, round(self.share * length))]
        yield from DataLoader(
            Subset(loader.dataset, chosen[get_rank() :: get_world_size()].tolist()),
            batch_size=loader.batch_size or loader.batch_sampler.batch_size,
            num_workers=loader.num_workers,
            collate_fn=loader.collate_fn,
            pin_memory=loader.pin_memory,
            worker_init_fn=loader.worker_init_fn,
        )


def _head_of(model: nn.Module) -> Any:
    """Return the head, or refuse one without prototypes."""
    head = getattr(model, 'head', None)
    if not hasattr(head, 'update_prototypes') or not hasattr(head, 'prototypes'):
        raise WrongTypeError(
            f'PrototypeRefreshHook needs a head with prototypes, but model.head is a {type(head).__name__}; set '
            "model.head=dict(type='PrototypeHead', domains=...) or take the hook out of custom_hooks"
        )
    return head
