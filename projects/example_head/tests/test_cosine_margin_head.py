"""The head and the loss of the example project: right numbers, and a config that builds them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmfas.config.check import check_config
from mmfas.registry import HEADS, LOSSES, MODELS
from mmfas.structures import FusedFeatures
from mmfas.utils.errors import InputError

PROJECT = Path(__file__).resolve().parents[1]
SPEC = dict(modalities=('rgb', 'ir'), fused_dims=4)


@pytest.fixture(autouse=True)
def _project(monkeypatch: pytest.MonkeyPatch) -> None:
    """Import the project as its config does."""
    monkeypatch.syspath_prepend(PROJECT.parents[1])
    import projects.example_head  # noqa: F401


def test_without_a_margin_the_loss_is_the_cross_entropy_and_a_margin_raises_it() -> None:
    logits, targets = torch.randn(5, 2), torch.tensor([0, 1, 1, 0, 1])
    plain = torch.nn.functional.cross_entropy(logits, targets, reduction='none')
    built = {m: LOSSES.build(dict(type='MarginCrossEntropyLoss', margin=m))(logits, targets) for m in (0.0, 0.7)}
    torch.testing.assert_close(built[0.0], plain)
    gap = logits.gather(1, targets[:, None]).squeeze(1) - logits.gather(1, 1 - targets[:, None]).squeeze(1) - 0.7
    torch.testing.assert_close(built[0.7], torch.nn.functional.softplus(-gap))


def test_logits_are_scaled_cosines_whatever_the_length_of_a_feature() -> None:
    head = HEADS.build(HEADS.get('CosineMarginHead').example_cfg(), spec=SPEC)
    features = torch.randn(3, 4)
    logits = head(FusedFeatures(features))
    cosines = torch.nn.functional.cosine_similarity(features[:, None], head.directions[None], dim=2)
    torch.testing.assert_close(logits, 5.0 * cosines)
    torch.testing.assert_close(head(FusedFeatures(7 * features)), logits)


def test_the_head_is_trained_by_its_loss() -> None:
    head = HEADS.build(dict(type='CosineMarginHead'), spec=SPEC)
    terms = head.loss_terms(FusedFeatures(torch.randn(2, 4)), torch.tensor([0, 1]), torch.ones(2, 2).bool())
    terms.to_losses()['loss_cls'].backward()
    assert head.directions.grad is not None and bool((head.directions.grad != 0).all())


@pytest.mark.parametrize('bad', [dict(scale=0.0), dict(loss=dict(type='MarginCrossEntropyLoss', margin=-1.0))])
def test_settings_that_turn_training_round_are_refused(bad: dict) -> None:
    with pytest.raises(InputError, match='but got'):
        HEADS.build(dict(type='CosineMarginHead', **bad), spec=SPEC)


def test_its_config_passes_the_check_and_builds() -> None:
    (path,) = (PROJECT / 'configs').glob('*.py')
    cfg = Config.fromfile(path)
    assert check_config(cfg) == []
    assert type(MODELS.build(cfg.model).head).__name__ == 'CosineMarginHead'
