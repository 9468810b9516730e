"""The whole grid trunk x neck x head x modality subset, from one base config plus overrides."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from mmengine.optim import OptimWrapper

from contracts.cases import (
    SLOTS,
    SUBSETS,
    build_model,
    for_training,
    make_batch,
    names_in,
    perturb,
    presence,
    scores,
    take,
)
from mmfas.models import MultiModalFAS
from mmfas.registry import BACKBONES, FUSION_NECKS
from mmfas.structures import MODALITIES

GRID = list(product(*(names_in(view) for view in SLOTS.values()), SUBSETS))
#: How many cases work and how many are refused; change both when a part is added.
NUM_WORKING, NUM_REFUSED = 372, 300

pytestmark = pytest.mark.engine


def refusal(trunk: str, neck: str, modalities: tuple[str, ...]) -> str | None:
    """Say with which words a case must be refused, or None if it must work."""
    neck_cls = FUSION_NECKS.get(neck)
    if len(modalities) < neck_cls.min_modalities:
        return f'{neck} needs at least {neck_cls.min_modalities} modalities, but {trunk}'
    if neck_cls.needs_tokens and BACKBONES.get(trunk).__name__ == 'MultiStreamCNN':
        return f'{neck} works on tokens, but {trunk} yields feature maps'
    return None


CASES = [(*case, refusal(case[0], case[1], case[3])) for case in GRID]
WORKING = [case[:4] for case in CASES if case[4] is None]
#: A head sees what a neck makes of the modalities, whatever trunk and subset it came from. So every case is built,
#: and these are trained and scored: every trunk, neck and subset with the first head, and every head behind every
#: neck. In them samples could meet, too.
MEETINGS = [
    case
    for case in WORKING
    if case[2] == names_in(SLOTS['head'])[0] or (case[0] == 'MultiStreamViT' and len(case[3]) == len(MODALITIES))
]
#: How many there are; change it when a part is added.
NUM_MEETINGS = 102


def name_of(case: tuple) -> str:
    return '-'.join([*case[:3], '+'.join(case[3])])


def build(case: tuple) -> MultiModalFAS:
    trunk, neck, head, modalities = case[:4]
    return build_model(modalities, trunk=trunk, neck=neck, head=head)


def test_number_of_cases() -> None:
    assert (len(WORKING), len(CASES) - len(WORKING)) == (NUM_WORKING, NUM_REFUSED)
    assert len(MEETINGS) == NUM_MEETINGS
    assert {case[:2] for case in MEETINGS} == {case[:2] for case in WORKING}
    assert {case[1:3] for case in MEETINGS} == {case[1:3] for case in WORKING}


@pytest.mark.parametrize('case', CASES, ids=name_of)
def test_builds_trains_and_predicts(case: tuple) -> None:
    if case[4] is not None:
        with pytest.raises(ValueError, match=case[4]):
            build(case)
        return
    model = build(case)
    if case[:4] not in MEETINGS:
        return
    before = [p.detach().clone() for p in model.parameters()]
    batch = make_batch(4)
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    log = model.train_step(for_training(model, batch), wrapper)
    assert torch.isfinite(log['loss']) and set(log) > {'loss', 'loss_cls'}
    assert any(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    result = scores(model, batch)
    assert ((result > 0) & (result < 1)).all()


@pytest.mark.parametrize('case', MEETINGS, ids=name_of)
def test_score_does_not_depend_on_neighbours(case: tuple) -> None:
    model = perturb(build(case))
    keep = torch.tensor([m in case[3] for m in ('rgb', 'depth', 'ir')])
    present = presence(8, 1)  # all seven patterns
    present[~(present & keep).any(1)] = keep
    batch = make_batch(8, present=present)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(2)).tolist()
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-9)):
        model.to(dtype)
        whole = scores(model, batch)
        alone = torch.cat([scores(model, take(batch, [i])) for i in range(8)])
        threes = torch.cat([scores(model, take(batch, range(i, min(i + 3, 8)))) for i in (0, 3, 6)])
        shuffled = torch.empty_like(whole)
        shuffled[order] = scores(model, take(batch, order))
        for other in (alone, threes, shuffled):
            torch.testing.assert_close(other, whole, rtol=0, atol=tolerance)
        assert whole.std() > 1e-4
