"""The seam for gradient modulation: with the plain sum it is the stock optimizer wrapper."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from engine_process import run_command, run_ranks, write_config
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch import Tensor, nn

from mmfas.engine.modulators import BaseModulator, ModalityGradients, SumModulator
from mmfas.engine.optim_wrappers import AmpGradientModulationOptimWrapper, GradientModulationOptimWrapper
from mmfas.registry import GRADIENT_MODULATORS
from mmfas.structures import MODALITIES, LossTerms
from mmfas.utils.checkpoint import load_checkpoint

pytestmark = pytest.mark.engine


class _Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.trunk = nn.Linear(4, 5)
        self.heads = nn.ModuleList(nn.Linear(5, 1) for _ in MODALITIES)
        self.joint = nn.Linear(5, 1)
        self.unused = nn.Linear(2, 2)

    def terms(self, x: Tensor, present: Tensor) -> LossTerms:
        hidden = torch.tanh(self.trunk(x))
        per = {
            name: ((self.heads[i](hidden)[:, 0].square() * present[:, i]).sum(), present[:, i].sum())
            for i, name in enumerate(MODALITIES)
        }
        means = (x[:, 0, None] * present).sum(0) / present.sum(0).clamp(min=1)
        confidence = dict(zip(MODALITIES, means.unbind(), strict=True))
        main = dict(fused=self.joint(hidden).sub(1).square().mean(), aux=0.1 * hidden.mean())
        return LossTerms(main=main, per_modality=per, confidence=confidence)


class _Recorder(BaseModulator):
    """Keep what the rule is given."""

    def __init__(self) -> None:
        self.seen: list[ModalityGradients] = []

    def modulate(self, gradients: ModalityGradients) -> Tensor:
        self.seen.append(gradients)
        return gradients.rows.sum(0)

    def state_dict(self) -> dict[str, Any]:
        return dict(num=len(self.seen))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.loaded = state_dict['num']


def _batches(num: int = 5, size: int = 8) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    data = [
        (torch.randn(size, 4, generator=generator), torch.rand(size, 3, generator=generator)) for _ in range(num)
    ]
    return [(x, (draw > 0.4).float()) for x, draw in data]


def _fit(wrapper: OptimWrapper, model: _Model, batches: list[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    for x, present in batches:
        with wrapper.optim_context(model):
            terms = model.terms(x, present)
        total = torch.stack(list(terms.to_losses().values())).sum()
        if getattr(wrapper, 'needs_loss_terms', False):
            wrapper.update_params(total, loss_terms=terms)
        else:
            wrapper.update_params(total)
    return model.state_dict()


def _difference(one: dict[str, Tensor], two: dict[str, Tensor]) -> float:
    return max((one[name] - two[name]).abs().max().item() for name in one)


@pytest.mark.parametrize('clip_grad', [None, dict(max_norm=0.1)])
@pytest.mark.parametrize('kind', [torch.optim.AdamW, torch.optim.SGD])
def test_sum_equals_the_stock_wrapper(
    kind: type[torch.optim.Optimizer], clip_grad: dict[str, float] | None
) -> None:
    stock, ours, start = _Model(), _Model(), _Model().state_dict()
    clip = None if clip_grad is None else dict(clip_grad)
    expected = _fit(OptimWrapper(kind(stock.parameters(), lr=0.05), clip_grad=clip), stock, _batches())
    wrapper = GradientModulationOptimWrapper(
        kind(ours.parameters(), lr=0.05), dict(type='Sum'), clip_grad=clip_grad
    )
    assert _difference(_fit(wrapper, ours, _batches()), expected) < 1e-6
    assert _difference(start, expected) > 1e-2
    assert torch.equal(ours.unused.weight, start['unused.weight'])
    assert wrapper._inner_count == 5
    assert clip_grad in (None, dict(max_norm=0.1))


def test_accumulation_equals_the_large_batch() -> None:
    """Unlike with a stock wrapper, also where parts of the batch lack modalities unevenly."""
    small, large = _Model(), _Model()
    batches = _batches(num=4, size=4)
    wrapper = partial(GradientModulationOptimWrapper, modulator=dict(type='Sum'))
    one = _fit(wrapper(torch.optim.SGD(small.parameters(), lr=0.1), accumulative_counts=4), small, batches)
    joined = [tuple(torch.cat(part) for part in zip(*batches, strict=True))]
    two = _fit(wrapper(torch.optim.SGD(large.parameters(), lr=0.1)), large, joined)
    assert _difference(one, two) < 1e-6
    assert _difference(one, _Model().state_dict()) > 1e-2


@pytest.mark.parametrize('is_measured', [False, True])
@pytest.mark.parametrize('rule', ['ReGrad', 'OGMGE', 'Sum'])
def test_where_no_modality_owns_anything_every_rule_is_the_sum(
    rule: str, is_measured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is why those that act on owned parameters are refused there; here the refusal is switched off."""
    steps = []
    if rule != 'Sum':
        with pytest.raises(ValueError, match='parameters that belong to one modality, but no trained one does'):
            model = _Model()
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            _fit(GradientModulationOptimWrapper(optimizer, dict(type=rule)), model, _batches(num=1))
    monkeypatch.setattr(BaseModulator, 'refusal', lambda self, offer: None)
    for modulator in (dict(type=rule), _Recorder()):
        model = _Model()
        wrapper = GradientModulationOptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1), modulator)
        wrapper.measures_gradients = is_measured
        steps.append(_fit(wrapper, model, _batches(num=2)))
        assert ('grad_norm_ir' in wrapper.statistics) is is_measured
    assert _difference(*steps) < 1e-6


def test_what_a_rule_is_given() -> None:
    model, rule = _Model(), _Recorder()
    x, present = _batches(num=1)[0]
    present[:, 2] = 0
    _fit(GradientModulationOptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1), rule), model, [(x, present)])
    seen, fresh = rule.seen[0], _Model()
    assert seen.modalities == MODALITIES
    assert seen.names == tuple(name for name, _ in fresh.named_parameters())
    assert seen.counts.tolist() == present.sum(0).tolist()
    trust = [x[present[:, i] > 0, 0].mean().item() for i in (0, 1)]
    assert seen.confidence.tolist() == pytest.approx([*trust, 0.0], abs=1e-6)
    for row, (name, (total, count)) in enumerate(fresh.terms(x, present).per_modality.items()):
        assert torch.allclose(seen.losses[row], total / count.clamp(min=1)), name
        mean, parameters = total / count.clamp(min=1), list(fresh.parameters())
        wanted = torch.autograd.grad(mean, parameters, allow_unused=True, retain_graph=True)
        for where, grad in zip(seen.slices, wanted, strict=True):
            expected = torch.zeros_like(seen.rows[row, where]) if grad is None else grad.flatten()
            assert torch.allclose(seen.rows[row, where], expected, atol=1e-7)
    assert not seen.rows[2].any()


def test_a_rule_sees_the_whole_batch_of_an_accumulated_step() -> None:
    """Losses and confidence are means over all samples that have a modality, however batches were cut."""
    batches = _batches(num=4, size=4)
    batches[0][1][:, 2] = 0
    batches[1][1][1:, 1] = 0
    joined = [tuple(torch.cat(part) for part in zip(*batches, strict=True))]
    seen = []
    for data in (batches, joined):
        model, rule = _Model(), _Recorder()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        _fit(GradientModulationOptimWrapper(optimizer, rule, accumulative_counts=len(data)), model, data)
        seen += rule.seen
    assert len(seen) == 2
    for name in ('rows', 'losses', 'counts', 'confidence'):
        torch.testing.assert_close(getattr(seen[0], name), getattr(seen[1], name), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('uses', [0.0, 1.0])
def test_a_parameter_that_only_another_process_reaches_is_stepped(
    monkeypatch: pytest.MonkeyPatch, uses: float
) -> None:
    """Else weight decay would pull the copies of a parameter apart; one that nobody reaches stays as it is."""
    model, module = _Model(), 'mmfas.engine.optim_wrappers.gradient_sums'
    num_parameters = len(list(model.parameters()))
    monkeypatch.setattr(f'{module}.get_world_size', lambda: 2)
    monkeypatch.setattr(f'{module}.all_reduce', lambda packed: packed[-num_parameters:].add_(uses))
    before = model.unused.weight.detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.5)
    _fit(GradientModulationOptimWrapper(optimizer, dict(type='Sum')), model, _batches(num=1))
    torch.testing.assert_close(model.unused.weight, before * (1 - 0.1 * 0.5 * uses))


def test_state_of_the_rule_is_saved() -> None:
    model, rule = _Model(), _Recorder()
    wrapper = GradientModulationOptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1), rule)
    _fit(wrapper, model, _batches(num=2))
    state = wrapper.state_dict()
    wrapper.load_state_dict(state)
    assert rule.loaded == 2
    assert 'modulator' in state
    with pytest.raises(ValueError, match='SumModulator has no state'):
        SumModulator().load_state_dict(dict(num=1))


def test_without_terms_it_is_the_stock_method(monkeypatch: pytest.MonkeyPatch) -> None:
    model = _Model()
    wrapper = GradientModulationOptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1), dict(type='Sum'))
    before = model.joint.weight.clone()
    wrapper.update_params(model.joint(torch.ones(1, 5)).sum())
    assert not torch.equal(before, model.joint.weight)
    monkeypatch.setattr('mmfas.engine.optim_wrappers.gradient_modulation.get_world_size', lambda: 2)
    with pytest.raises(RuntimeError, match='needs loss terms with several processes'):
        wrapper.update_params(model.joint(torch.ones(1, 5)).sum())


def test_mixed_precision_scale_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU the device check and the device of the scaler are patched; the arithmetic is the same."""
    module = AmpOptimWrapper.__init__.__globals__
    monkeypatch.setitem(module, 'is_cuda_available', lambda: True)
    monkeypatch.setitem(module, 'GradScaler', partial(torch.amp.GradScaler, device='cpu', init_scale=2.0**12))
    plain, scaled = _Model(), _Model()
    options = dict(modulator=dict(type='Sum'), clip_grad=dict(max_norm=0.1))
    wrapper = GradientModulationOptimWrapper(torch.optim.SGD(plain.parameters(), lr=0.1), **options)
    expected = _fit(wrapper, plain, _batches())
    amp = AmpGradientModulationOptimWrapper(
        torch.optim.SGD(scaled.parameters(), lr=0.1), dtype='bfloat16', **options
    )
    monkeypatch.setattr(AmpOptimWrapper, 'optim_context', OptimWrapper.optim_context)
    assert _difference(_fit(amp, scaled, _batches()), expected) < 1e-6
    before = {name: value.clone() for name, value in scaled.state_dict().items()}
    x, present = _batches(num=1)[0]
    _fit(amp, scaled, [(x * float('inf'), present)])
    assert _difference(before, scaled.state_dict()) == 0
    assert amp.loss_scaler.get_scale() == 2.0**11


_CHANGES = """
model = dict(drop=0.0)
train_dataloader = dict(
    batch_size={batch},
    dataset=dict(noise=0.0, length=40, absent_ir={absent}),
    sampler=dict(shuffle=False),
)
train_cfg = dict(max_epochs=2)
optim_wrapper = dict(_delete_=True, {wrapper}, optimizer=dict(type='SGD', lr=0.1, momentum=0.9))
param_scheduler = None
"""


@pytest.mark.slow
def test_two_processes_equal_one_and_the_stock_wrapper(tmp_path: Path) -> None:
    ours = "type='GradientModulationOptimWrapper', modulator=dict(type='Sum')"
    states = {}
    for name, batch, wrapper, run in (
        ('double', 4, ours, run_ranks),
        ('single', 8, ours, run_command),
        ('stock', 8, "type='OptimWrapper'", run_command),
    ):
        changes = _CHANGES.format(batch=batch, wrapper=wrapper, absent=tuple(range(1, 40, 2)))
        config, log = write_config(tmp_path, name, changes), tmp_path / f'{name}.log'
        code = run('mmfas.cli.train', [config, '--no-validate', '--work-dir', tmp_path / name], log)
        assert code in (0, [0, 0]), log.read_text()[-2000:]
        states[name] = load_checkpoint(tmp_path / name / 'epoch_2.pth')['state_dict']
    assert _difference(states['double'], states['single']) < 1e-6
    assert _difference(states['double'], states['stock']) < 1e-6


def test_every_modulator_builds_from_its_example() -> None:
    GRADIENT_MODULATORS.import_from_location()
    names = sorted(GRADIENT_MODULATORS.module_dict)
    assert len(names) >= 4
    for name in names:
        rule = GRADIENT_MODULATORS.build(GRADIENT_MODULATORS.get(name).example_cfg())
        assert isinstance(rule, BaseModulator)
