"""Steps of real models with every gradient rule: processes, accumulation, clipping, scaling, resume, reach."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
import torch._dynamo
import torch._functorch.config as functorch_config
from engine_process import run_command, run_ranks, train
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from modulated_step import Keeper, batches, fit, tiny_model
from modulation_oracles import regrad_tensor
from naive_mmdg import drawn_trust, expected_trust, features_of, naive_step, owned_slices
from torch import Tensor, nn

from mmfas.analysis.training_logs import TrainingLog
from mmfas.engine.optim_wrappers import AmpGradientModulationOptimWrapper, GradientModulationOptimWrapper
from mmfas.engine.optim_wrappers.gradient_layout import GradientLayout, owned_pieces
from mmfas.models import FASDistributedDataParallel
from mmfas.models.necks import TokenConfidence
from mmfas.registry import GRADIENT_MODULATORS
from mmfas.structures import MODALITIES

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures('small_and_quiet')]
RULES = ['ReGrad', 'PCGrad', 'OGMGE', 'Sum']
each_rule = pytest.mark.parametrize('rule', RULES)
each_neck = pytest.mark.parametrize('neck', ['ama', 'u_adapter'])


def difference(one: dict[str, Tensor], two: dict[str, Tensor]) -> float:
    assert one.keys() == two.keys()
    return max((one[name] - two[name]).abs().max().item() for name in one)


def kept_by(rule: dict | str, neck: str = 'u_adapter', **options: object) -> list[dict[str, Tensor]]:
    """Return the gradients of the steps of a fresh model."""
    model = tiny_model(neck)
    config = dict(type=rule) if isinstance(rule, str) else rule
    cuts = options.get('accumulative_counts', 1)
    wrapper = Keeper(torch.optim.SGD(model.parameters(), lr=0.0), config, **options)
    fit(model, wrapper, batches(), cuts=cuts)
    return wrapper.kept


@each_rule
def test_two_processes_equal_one_with_the_doubled_batch(rule: str, tmp_path: Path) -> None:
    """In the first step the second process has no infrared image; rules see the sum of both."""
    assert run_ranks('modulated_step', [tmp_path / 'two', rule], tmp_path / 'two.log') == [0, 0], (
        tmp_path / 'two.log'
    ).read_text()[-3000:]
    assert run_command('modulated_step', [tmp_path / 'one', rule], tmp_path / 'one.log') == 0
    ranks = [torch.load(tmp_path / f'two.{rank}', weights_only=True) for rank in (0, 1)]
    one = torch.load(tmp_path / 'one.0', weights_only=True)
    assert len(one) == 3
    for step, single in enumerate(one):
        assert difference(ranks[0][step], ranks[1][step]) == 0
        assert difference(ranks[0][step], single) < 1e-6
        assert max(grad.abs().max().item() for grad in single.values()) > 1e-2


@each_rule
def test_accumulating_four_parts_equals_the_whole_batch(rule: str) -> None:
    whole, parts = kept_by(rule), kept_by(rule, accumulative_counts=4)
    assert len(whole) == len(parts) == 3
    assert max(difference(a, b) for a, b in zip(whole, parts, strict=True)) < 1e-6


def test_the_rules_differ() -> None:
    steps = [kept_by(rule)[0] for rule in RULES]
    for i, one in enumerate(steps):
        assert all(difference(one, other) > 1e-3 for other in steps[:i])


@each_rule
def test_clipping_comes_after_modulation(rule: str) -> None:
    model = tiny_model()
    wrapper = Keeper(torch.optim.SGD(model.parameters(), lr=0.05), dict(type=rule), clip_grad=dict(max_norm=0.01))
    before = {name: value.clone() for name, value in model.named_parameters()}
    fit(model, wrapper, batches(1))
    grads = wrapper.kept[0]
    norm = torch.stack([grad.norm() for grad in grads.values()]).norm()
    assert norm > 0.02
    for name, parameter in model.named_parameters():
        if name in grads:
            torch.testing.assert_close(
                before[name] - parameter, 0.05 * 0.01 / norm * grads[name], rtol=1e-3, atol=1e-7
            )


def amp_wrapper(monkeypatch: pytest.MonkeyPatch) -> Callable[..., AmpGradientModulationOptimWrapper]:
    """Patch device check and scaler so that mixed precision runs on a CPU."""
    module = AmpOptimWrapper.__init__.__globals__
    monkeypatch.setitem(module, 'is_cuda_available', lambda: True)
    monkeypatch.setitem(module, 'GradScaler', partial(torch.amp.GradScaler, device='cpu', init_scale=2.0**12))
    monkeypatch.setattr(AmpOptimWrapper, 'optim_context', OptimWrapper.optim_context)
    return AmpGradientModulationOptimWrapper


@each_rule
def test_loss_scale_changes_nothing_and_overflow_skips_the_step(
    rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, scaled = tiny_model(), tiny_model()
    options = dict(modulator=dict(type=rule), clip_grad=dict(max_norm=1.0))
    wrapper = GradientModulationOptimWrapper(torch.optim.SGD(plain.parameters(), lr=0.05), **options)
    amp = amp_wrapper(monkeypatch)(torch.optim.SGD(scaled.parameters(), lr=0.05), dtype='float16', **options)
    for batch, is_measured in zip(batches(2), (False, True)):
        wrapper.measures_gradients = amp.measures_gradients = is_measured
        fit(plain, wrapper, [batch])
        fit(scaled, amp, [batch])
        assert difference(plain.state_dict(), scaled.state_dict()) < 1e-6
    assert sum(name.startswith('grad_') for name in wrapper.statistics) == 6
    for name, value in wrapper.statistics.items():
        torch.testing.assert_close(amp.statistics[name], value, rtol=1e-4, atol=1e-5)
    before = {name: value.clone() for name, value in scaled.state_dict().items()}
    monkeypatch.setattr(amp, 'scale_loss', lambda loss: loss * 1e38)
    fit(scaled, amp, batches(1))
    assert difference(before, scaled.state_dict()) == 0
    assert amp.loss_scaler.get_scale() == 2.0**11


@each_rule
def test_bfloat16_autocast_runs(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    amp = amp_wrapper(monkeypatch)(torch.optim.SGD(model.parameters(), lr=0.05), dict(type=rule))
    with torch.autocast('cpu', dtype=torch.bfloat16):
        fit(model, amp, batches(1))
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())
    assert difference(model.state_dict(), tiny_model().state_dict()) > 1e-4


@each_rule
def test_a_resumed_run_continues_exactly(rule: str) -> None:
    def make() -> tuple[nn.Module, Keeper]:
        model = tiny_model()
        return model, Keeper(torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9), dict(type=rule))

    (straight, wrapper), (first, saved), (second, resumed) = make(), make(), make()
    fit(straight, wrapper, batches(3))
    fit(first, saved, batches(3)[:2])
    second.load_state_dict(first.state_dict())
    resumed.load_state_dict(saved.state_dict())
    fit(second, resumed, batches(3)[2:])
    assert difference(resumed.kept[0], wrapper.kept[2]) == 0
    assert difference(second.state_dict(), straight.state_dict()) == 0


def naive_rows(neck: str) -> tuple[dict[str, list[Tensor]], list[float], list[float], nn.Module]:
    """Take one `.backward()` per loss, with a model of its own each: name -> 3 modalities and main."""
    rows: dict[str, list[Tensor]] = {}
    for index in range(4):
        model = tiny_model(neck)
        terms = model(**model.data_preprocessor(batches(1)[0], True), mode='loss_terms')
        means = [total / count for total, count in terms.per_modality.values()]
        (means[index] if index < 3 else sum(terms.main.values())).backward()
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                rows.setdefault(name, []).append(grad)
    trust = [float(terms.confidence[m]) if terms.confidence else 1.0 for m in MODALITIES]
    return rows, [mean.item() for mean in means], trust, model


@each_neck
def test_mmdg_regrad_step_equals_four_backward_passes(neck: str) -> None:
    """The reference way: every loss alone, every slice on its own, as on the released separate tensors."""
    rows, losses, trust, model = naive_rows(neck)
    fast = losses.index(min(losses))
    expected = {name: sum(grads) for name, grads in rows.items()}
    for name, index, owner in owned_slices(model):
        *grads, main = (grad[index] for grad in rows[name])
        expected[name][index] = regrad_tensor(grads, owner, fast, trust) + main
    ours, plain = kept_by('ReGrad', neck)[0], kept_by('Sum', neck)[0]
    assert all(not grad.any() for name, grad in expected.items() if name not in ours)
    reached = {name: expected[name] for name in ours}
    assert difference(ours, reached) < 1e-6
    assert difference(plain, reached) > 1e-3


@pytest.mark.slow
def test_mmdg_step_equals_the_naive_one() -> None:
    """Streams and adapters one by one, whole maps of attention, four `.backward()` calls: the same gradients."""
    model = tiny_model()
    data = model.data_preprocessor(batches(1)[0], True)
    inputs, samples = data['inputs'], data['data_samples']
    ours, naive = model.extract_feat(inputs), features_of(model, inputs, expected_trust)
    for name in ('fused', 'per_modality', 'confidence'):
        torch.testing.assert_close(getattr(ours, name), getattr(naive, name), rtol=1e-5, atol=1e-6)
    expected = naive_step(model, inputs, samples, expected_trust)
    step = kept_by('ReGrad')[0]
    assert difference(step, {name: expected[name] for name in step}) < 1e-6
    assert all(not grad.any() for name, grad in expected.items() if name not in step)
    # twenty drawn copies: another estimator, near the one in closed form, and another step
    y = torch.randn(4, 5, 200)
    drawn, closed = drawn_trust(y), expected_trust(y)
    torch.testing.assert_close(drawn, closed, rtol=0.1, atol=0)
    torch.testing.assert_close(drawn, TokenConfidence('sampled')(y), rtol=0.1, atol=0)
    assert difference(step, {name: naive_step(model, inputs, samples)[name] for name in step}) > 1e-6


# Class tokens and positions, and what the adapters of two blocks own: 5 tensors of AMA for each modality, of which
# only its own loss reaches `up` (2 tensors) in the last block; 14 tensors of each of 4 U-Adapters (keys and values
# apart, as released), in the last block none. The classifiers of the modalities have one loss each, too.
NUM_IN_DOUBT = dict(ama=3 * (2 + 2 * 5 - 2), u_adapter=3 * 2 + 4 * 14)


@each_neck
def test_mmdg_every_tensor_that_several_losses_reach_is_modulated(neck: str) -> None:
    """Count them: the released code reaches six tensors, three class tokens and three tables of positions."""
    rows, _, _, model = naive_rows(neck)
    owned = owned_slices(model)
    plain, ours = kept_by('Sum', neck)[0], kept_by('ReGrad', neck)[0]
    in_doubt, changed = [], []
    for name, index, owner in owned:
        others = sum(rows[name][j][index] for j in range(3) if j != owner)
        if not others.any():
            continue
        in_doubt.append((name, index))
        # what the others do here is small beside the owner's gradient; measure the change by them
        if (ours[name][index] - plain[name][index]).norm() > 0.01 * others.norm():
            changed.append((name, index))
    assert len(in_doubt) == NUM_IN_DOUBT[neck]
    assert changed == in_doubt
    reach = ('trunk.embedding.cls_token', 'trunk.embedding.pos_embed')
    few = kept_by(dict(type='ReGrad', reach=reach), neck)[0]
    released = [name for name, _, _ in owned if name.startswith(reach)]
    assert len(released) == 6
    for name in released:
        torch.testing.assert_close(few[name], ours[name], rtol=1e-5, atol=1e-7)
    main_only = [name for name in few if name not in released]
    for name in main_only:
        torch.testing.assert_close(few[name], rows[name][3], rtol=1e-5, atol=1e-6)
    shared = {name: torch.ones_like(grad, dtype=torch.bool) for name, grad in plain.items()}
    for name, index, _ in owned:
        if name in shared:
            shared[name][index] = False
    assert sum(mask.any().item() for mask in shared.values()) > 20
    for name, mask in shared.items():
        torch.testing.assert_close(ours[name][mask], plain[name][mask], rtol=1e-5, atol=1e-7)


def test_owned_pieces_lie_where_slices_are() -> None:
    class Declares(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.shared = nn.Parameter(torch.zeros(5))
            self.stacked = nn.Parameter(torch.zeros(3, 2, 4))
            self.whole = nn.Parameter(torch.zeros(7))
            self.nested = nn.Parameter(torch.zeros(2, 3, 2))

        def modality_parameters(self) -> dict:
            return dict(
                rgb=[(self.stacked, 0), self.whole, (self.nested, (1, 0))], ir=[(self.stacked, 2)], depth=[]
            )

    model = Declares()
    names = {id(p): name for name, p in model.named_parameters()}
    layout = GradientLayout.of(
        list(model.parameters()), pieces=owned_pieces(model), names=names, modalities=MODALITIES
    )
    assert layout.names == ('stacked', 'whole', 'nested', 'shared')
    assert layout.segments.lengths.tolist() == [8, 8, 8, 7, 6, 2, 4]
    assert layout.segments.owners.tolist() == [0, -1, 2, 0, -1, 0, -1]
    assert layout.num_entries == 24 + 7 + 12 + 5 and layout.segments.num_entries == 43
    model.modality_parameters = lambda: dict(rgb=[(model.stacked, 1)], ir=[model.stacked])
    with pytest.raises(ValueError, match="'stacked' is declared .* both ir and rgb"):
        owned_pieces(model)


def test_static_graph_is_refused() -> None:
    model = tiny_model()
    wrapper = GradientModulationOptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1), dict(type='Sum'))
    model.static_graph = True
    with pytest.raises(ValueError, match='take static_graph out of model_wrapper_cfg'):
        fit(model, wrapper, batches(1))
    assert issubclass(FASDistributedDataParallel, nn.parallel.DistributedDataParallel)


def test_compiled_blocks_survive_several_backward_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(functorch_config, 'donated_buffer', True)  # torch's default; put back afterwards
    torch._dynamo.reset()
    model = tiny_model()
    for layer in model.trunk.vit.layers:
        layer.ffn.layers.compile(backend='aot_eager')
    wrapper = Keeper(torch.optim.SGD(model.parameters(), lr=0.0), dict(type='ReGrad'))
    fit(model, wrapper, batches(1))
    assert difference(wrapper.kept[0], kept_by('ReGrad')[0]) < 1e-6
    assert not functorch_config.donated_buffer


def test_nothing_to_write_is_refused() -> None:
    model = tiny_model()
    wrapper = GradientModulationOptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1), dict(type='Sum'))
    with pytest.raises(RuntimeError, match='call accumulate_gradients first'):
        wrapper.write_gradients()


@each_neck
@pytest.mark.parametrize('rule', ['ReGrad', 'OGMGE', 'Sum'])
def test_mmdg_short_way_equals_whole_rows(rule: str, neck: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradients of modalities that stop at what is owned, and one pass of all losses, make the same step."""
    grad, asked = torch.autograd.grad, []

    def counting(loss: Tensor, inputs: tuple[Tensor, ...], **options: bool) -> tuple[Tensor, ...]:
        asked.append(len(inputs))
        return grad(loss, inputs, **options)

    monkeypatch.setattr(torch.autograd, 'grad', counting)

    def run(*, reads_shared: bool = False, measures: bool = False, cuts: int = 1) -> Keeper:
        model, modulator = tiny_model(neck), GRADIENT_MODULATORS.build(dict(type=rule))
        assert not modulator.reads_shared
        modulator.reads_shared = reads_shared
        optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
        wrapper = Keeper(optimizer, modulator, accumulative_counts=cuts)
        wrapper.measures_gradients = measures
        asked.clear()
        fit(model, wrapper, batches(2), cuts=cuts)
        return wrapper

    model = tiny_model(neck)
    num_all = sum(p.requires_grad for p in model.parameters())
    num_owned = len({name for name, _, _ in owned_slices(model)})
    short = run()
    assert asked == 2 * [*3 * [num_owned], num_all] and num_owned < num_all - 20
    assert not any(name.startswith('grad_') for name in short.statistics)
    whole = run(reads_shared=True)
    assert asked == 8 * [num_all]
    measured = run(measures=True)
    assert asked == 8 * [num_all]
    for other in (whole, measured):
        assert max(difference(a, b) for a, b in zip(short.kept, other.kept, strict=True)) < 1e-6
    # where batches are accumulated the counts are not known in time
    parts = run(cuts=2)
    assert asked == 16 * [num_all]
    assert sum(name.startswith('grad_') for name in measured.statistics) == 6
    for name, value in measured.statistics.items():
        torch.testing.assert_close(parts.statistics[name], value, rtol=1e-4, atol=1e-5, msg=name)
        if name in short.statistics:
            torch.testing.assert_close(short.statistics[name], value, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize('rule', ['ReGrad', 'PCGrad'])
def test_statistics_are_norms_and_cosines(rule: str) -> None:
    model = tiny_model('ama')
    wrapper = GradientModulationOptimWrapper(torch.optim.SGD(model.parameters(), lr=0.0), dict(type=rule))
    wrapper.measures_gradients = True
    fit(model, wrapper, batches(1))
    gradients, *_ = naive_rows('ama')
    rows = [torch.cat([grads[i].flatten() for grads in gradients.values()]) for i in range(3)]
    found = {name: value.item() for name, value in wrapper.statistics.items()}
    assert [found[f'grad_norm_{m}'] for m in MODALITIES] == pytest.approx(
        [r.norm().item() for r in rows], rel=1e-4
    )
    cosine = torch.nn.functional.cosine_similarity
    for a, b in ((0, 1), (0, 2), (1, 2)):
        expected = cosine(rows[a], rows[b], dim=0).item()
        assert found[f'grad_cos_{MODALITIES[a]}_{MODALITIES[b]}'] == pytest.approx(expected, abs=1e-4)
    assert rule == 'PCGrad' or sum(found[f'fast_{m}'] for m in MODALITIES) == 1


_LOGGED = """
train_dataloader = dict(dataset=dict(absent_ir=(1, 3, 5)))
train_cfg = dict(max_epochs=2)
default_hooks = dict(logger=dict(type='LoggerHook', interval=2, ignore_last=False))
optim_wrapper = dict(
    _delete_=True,
    type='GradientModulationOptimWrapper',
    modulator=dict(type='ReGrad'),
    optimizer=dict(type='SGD', lr=0.1),
)
"""


@pytest.mark.slow
def test_curves_of_a_run_show_what_the_rule_did(tmp_path: Path) -> None:
    work_dir, _ = train(tmp_path, 'logged', '--no-validate', changes=_LOGGED)
    log = TrainingLog.read(work_dir)
    names = [f'{kind}_{m}' for kind in ('loss', 'grad_norm', 'fast') for m in MODALITIES]
    pairs = ['grad_cos_rgb_depth', 'grad_cos_rgb_ir', 'grad_cos_depth_ir']
    curves = {name: log.curve(name) for name in [*names, *pairs]}
    assert all(len(values) == 4 for _, values in curves.values())
    shares = [sum(curves[f'fast_{m}'][1][i] for m in MODALITIES) for i in range(4)]
    assert shares == pytest.approx([1.0] * 4)
    assert all(min(curves[f'grad_norm_{m}'][1]) > 0 for m in MODALITIES)
    # the streams of this model share nothing but the joint layer, which no loss of a modality reaches
    assert all(abs(value) < 1e-6 for name in pairs for value in curves[name][1])
    figure = tmp_path / 'fast.png'
    keys = ['--keys', 'fast_rgb', 'fast_depth', 'fast_ir', 'grad_norm_rgb']
    assert run_command('mmfas.cli.vis.logs', [work_dir, *keys, '--out', figure], tmp_path / 'plot.log') == 0
    assert figure.stat().st_size > 5000
