"""The metric of pretraining: means over the patches they name."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmfas.evaluation.metrics import RebuildMetric

pytestmark = pytest.mark.engine


def sample(seed: int, hidden: int | None, absent: int | None = None) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    error, mask = torch.rand(3, 2, 2, generator=generator), torch.rand(3, 2, 2, generator=generator) < 0.5
    if absent is not None:
        error[absent] = torch.nan
    is_hidden = torch.tensor([place == hidden for place in range(3)])
    return dict(rebuild_error=error, patch_mask=mask, hidden=is_hidden)


def test_means_are_over_the_patches_they_name() -> None:
    samples = [sample(0, None), sample(1, 2), sample(2, 0, absent=1)]
    metric = RebuildMetric()
    metric.process(None, samples[:2])
    metric.process(None, samples[2:])
    found = metric.evaluate(len(samples))
    assert set(found) == set(RebuildMetric.names_given_by({}))
    error = np.stack([s['rebuild_error'].numpy() for s in samples])
    mask = np.stack([s['patch_mask'].numpy() for s in samples])
    hidden = np.stack([s['hidden'].numpy() for s in samples])[:, :, None, None] & np.ones_like(mask)
    chosen = dict(all=True, masked=mask & ~hidden, seen=~mask & ~hidden, hidden=hidden)
    for name, which in chosen.items():
        assert found[f'rebuild/{name}'] == pytest.approx(np.nanmean(np.where(which, error, np.nan)))
    assert found['rebuild/depth'] == pytest.approx(np.nanmean(error[:, 1]))


def test_what_no_sample_has_is_left_out() -> None:
    metric = RebuildMetric(prefix='sites')
    metric.process(None, [sample(0, None, absent=2)])
    assert set(metric.evaluate(1)) == {f'sites/{name}' for name in ('all', 'masked', 'seen', 'rgb', 'depth')}


def test_samples_that_were_not_restored_are_refused() -> None:
    with pytest.raises(KeyError, match=r"needs \['rebuild_error'\] in every data sample"):
        RebuildMetric().process(None, [{**sample(0, None), 'rebuild_error': None}])
