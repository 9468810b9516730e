"""MMDA on two processes: references come from the batch of each process, gradients are the mean of both."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from ranks import run_group
from torch import Tensor

from mmfas.models import FASDistributedDataParallel

from .helpers import build, images, samples
from .test_mmda import HEAD, NECK

pytestmark = pytest.mark.engine


def gradients(rank: int, folder: Path | None = None) -> dict[str, Tensor]:
    """Return the gradients of one half of a batch, averaged over the group where there is a folder."""
    torch.manual_seed(0)
    model, whole, labelled = build(neck=NECK, head=HEAD).double().train(), images(8), samples(8)
    if folder is not None:
        model = FASDistributedDataParallel(model)
    # both processes have the domains C and W twice: every sample has one partner of its own process
    mine = slice(4 * rank, 4 * rank + 4)
    inputs = {m: image[mine].double() for m, image in whole.items()}
    sum(model(inputs, labelled[mine], mode='loss').values()).backward()
    return {name.removeprefix('module.'): p.grad for name, p in model.named_parameters()}


@pytest.mark.slow
def test_references_stay_in_their_process(tmp_path: Path) -> None:
    together = run_group(gradients, tmp_path)
    alone = [gradients(rank) for rank in range(2)]
    assert alone[0].keys() == together[0].keys() and len(alone[0]) > 30
    for name, grad in together[0].items():
        torch.testing.assert_close(grad, together[1][name], rtol=0, atol=0)
        torch.testing.assert_close(grad, (alone[0][name] + alone[1][name]) / 2, msg=name)
    name = 'neck.attention.reference_query_key.weight'
    assert not torch.allclose(alone[0][name], alone[1][name]), 'the halves are different batches'
