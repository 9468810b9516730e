"""ReGrad as DADM has it: the order follows the confidence, and all but the slowest modality are fast."""

from __future__ import annotations

import pytest
import torch
from golden_vectors import golden
from modulation_oracles import given

from mmfas.engine.modulators import ReGrad
from mmfas.structures import MODALITIES, ModalityOffer

#: Released parameter -> the modality whose rule it follows.
OWNERS = {'adapter_1': 0, 'adapter_2': 1, 'adapter_3': 2, 'mim_12': 1, 'mim_13': 2, 'mim_23': 2}
DADM = dict(order='confidence', fast='all_but_slowest')

pytestmark = pytest.mark.engine


@pytest.mark.parametrize('number', range(6))
def test_golden_dadm_regrad(number: int) -> None:
    data = golden('dadm_regrad')
    mi = [float(v) for v in data[f'{number}.in.mi'].ravel()]
    grads = {
        name: [data[f'{number}.{name}.in.grad.{kind}'].ravel() for kind in ('m1', 'm2', 'm3', 'total')]
        for name in OWNERS
    }
    lengths = [len(grads[name][0]) for name in OWNERS]
    rows = torch.stack([torch.cat([grads[name][m] for name in OWNERS]) for m in range(3)])
    # the losses rank them the other way round, and must not matter
    seen = given(rows, lengths=lengths, owners=list(OWNERS.values()), losses=[-value for value in mi], trust=mi)
    total = torch.cat([grads[name][3] for name in OWNERS])
    expected = torch.cat([data[f'{number}.{name}.out.grad'].ravel() for name in OWNERS])
    found = ReGrad(**DADM, eps=1e-8).modulate(seen) + total
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))
    others = [ReGrad(), ReGrad(fast='all_but_slowest')]
    if mi.count(max(mi)) == 1:  # with a tie at the top, one is fast in both
        others.append(ReGrad(order='confidence'))
    for other in others:
        assert (other.modulate(seen) + total - expected).abs().max() > 1e-3


def statistics(
    rule: ReGrad, counts: tuple[int, ...] = (4, 4, 4), trust: tuple[float, ...] = (0.1, 0.5, 0.3)
) -> list:
    seen = given(
        torch.randn(3, 6), lengths=[2, 2, 2], owners=[0, 1, 2], losses=[0.3, 0.1, 0.2], trust=trust, counts=counts
    )
    return [int(rule.describe(seen)[f'fast_{m}']) for m in MODALITIES]


def test_who_is_fast() -> None:
    assert statistics(ReGrad()) == [0, 1, 0]
    assert statistics(ReGrad(order='confidence')) == [1, 0, 0]
    assert statistics(ReGrad(fast='all_but_slowest')) == [0, 1, 1]
    assert statistics(ReGrad(**DADM)) == [1, 0, 1]
    assert statistics(ReGrad(**DADM), trust=(0.5, 0.5, 0.3)) == [0, 0, 1]
    assert statistics(ReGrad(**DADM), counts=(4, 0, 4)) == [1, 0, 0]  # absent modalities are never fast


def test_what_cannot_work_is_refused() -> None:
    offer = ModalityOffer(losses=MODALITIES, trained=('a',), owned=('a',), has_confidence=False, neck='ConcatNeck')
    text = ReGrad(order='confidence').refusal(offer)
    assert text == (
        "order='confidence', but ConcatNeck gives no confidence; take one that does (UAdapterNeck) or "
        'leave order out'
    )
    assert ReGrad(fast='all_but_slowest').refusal(offer) is None
    for options in (dict(order='mi'), dict(fast='two'), dict(pairwise=True, fast='all_but_slowest')):
        with pytest.raises(ValueError, match='fast'):
            ReGrad(**options)
