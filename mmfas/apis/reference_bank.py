"""Storing the readouts of training samples in a checkpoint: what `MD2ANeck` uses as noise at test time."""

from __future__ import annotations

import copy
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate

from mmfas.apis.building import build_model
from mmfas.apis.scoring import ScoreError, load_samples, prepare_scoring
from mmfas.models import MD2ANeck
from mmfas.utils.checkpoint import CheckpointError, find_meta, find_weights, load_checkpoint
from mmfas.utils.state_dicts import compare_state_dicts

#: Name of the bank in the weights of a model.
BANK = 'neck.bank'


@torch.no_grad()
def fill_reference_bank(cfg: Config, checkpoint: str, *, batch_size: int = 16) -> dict[str, Any]:
    """Read R training samples out and add them to a checkpoint as the reference bank.

    The samples are spread evenly over the training lists of all source domains and prepared as test samples are:
    nothing is drawn, the same weights give the same bank.

    Args:
        cfg: Config with an `MD2ANeck`, a `train_dataloader` whose data set has a pipeline, and a
            `test_dataloader`, whose pipeline is used. `model.neck.bank_size` is R.
        checkpoint: File with the trained weights; a bank that it has is replaced.
        batch_size: Samples in a batch, at least 1.

    Returns:
        The checkpoint with the weights of the model and the bank; it fits the config with
        `model.neck.reference='bank'`.

    Raises:
        ScoreError: If the neck is another one, a data set is missing or too small, or a sample lacks a modality.
        FileNotFoundError: If the checkpoint does not exist.
        CheckpointError: If the checkpoint is refused or does not fit.
    """
    cfg = copy.deepcopy(cfg)
    prepare_scoring(cfg)
    model = build_model(cfg)
    if not isinstance(model.neck, MD2ANeck):
        raise ScoreError(f'{type(model.neck).__name__} has no references; a bank is for MD2ANeck')
    content = load_checkpoint(checkpoint)
    weights = {name: value for name, value in find_weights(content, checkpoint).items() if name != BANK}
    own = model.state_dict()
    misfit = compare_state_dicts(weights, {name: value for name, value in own.items() if name != BANK})
    if misfit:
        raise CheckpointError(f"'{checkpoint}' does not fit the model of this config; {misfit}")
    model.load_state_dict(weights, strict=False)
    samples = _samples(cfg, model.neck.bank_size)
    readouts = []
    for start in range(0, len(samples), batch_size):
        inputs = model.data_preprocessor(pseudo_collate(samples[start : start + batch_size]), False)['inputs']
        if not inputs['present'].all():
            raise ScoreError('a training sample lacks a modality; take a test pipeline and lists with all of them')
        per_modality = model.extract_feat(inputs).per_modality
        assert per_modality is not None  # MD2ANeck always has them
        readouts.append(per_modality.transpose(0, 1))
    return dict(meta=dict(find_meta(content, checkpoint)), state_dict={**weights, BANK: torch.cat(readouts)})


def _samples(cfg: Config, num_samples: int) -> list[Any]:
    """Load training samples as test samples."""
    for key in ('train_dataloader', 'test_dataloader'):
        if 'pipeline' not in (cfg.get(key) or {}).get('dataset', {}):
            raise ScoreError(f'a bank is filled from training samples with the test pipeline, but {key} has none')
    cfg.train_dataloader.dataset.pipeline = cfg.test_dataloader.dataset.pipeline
    samples = load_samples(cfg, 'train_dataloader', max_samples=num_samples)
    if len(samples) < num_samples:
        raise ScoreError(
            f'the training set has {len(samples)} samples, the bank {num_samples} places; set a smaller '
            'model.neck.bank_size'
        )
    return samples
