"""The cost of product-key experts: the fit against costs that are known, the command on small layers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mmfas.visualization.expert_plots import plot_expert_cost
from projects.expert_cost import __main__ as measure_experts
from projects.expert_cost.cost import (
    PASSES,
    UPDATES,
    ExpertCost,
    LayerShape,
    PowerLaw,
    fit_power_law,
    measure_expert_cost,
)

pytestmark = pytest.mark.engine


@pytest.mark.parametrize('exponent', [0.5, 1.0])
@pytest.mark.parametrize('constant', [0.0, 4.0])
def test_fit_finds_the_exponent_of_a_known_cost(constant: float, exponent: float) -> None:
    numbers = [16, 64, 256, 1024, 4096, 16384, 65536]
    noise = np.random.default_rng(0).normal(1, 0.002, len(numbers))
    values = [(constant + 0.01 * n**exponent) * error for n, error in zip(numbers, noise, strict=True)]
    fit = fit_power_law(numbers, values)
    assert abs(fit.exponent - exponent) <= 0.02
    assert all(abs(fit(n) / value - 1) < 0.01 for n, value in zip(numbers, values, strict=True))


def test_fit_of_what_does_not_grow_is_a_constant() -> None:
    fit = fit_power_law([16, 64, 256, 1024], [3.0, 2.9, 2.8, 2.7])
    assert fit.factor_ms == 0 and 2.7 < fit.constant_ms < 3
    with pytest.raises(ValueError, match=r'at least three numbers of experts, but got \[16, 64\]'):
        fit_power_law([16, 64], [1.0, 2.0])


def test_costs_of_small_layers() -> None:
    shape = LayerShape(num_rows=12, dims=6, gate_dims=4, num_heads=2, top_k=2, key_dims=3)
    costs = measure_expert_cost([16, 64], shape, num_rounds=2, num_warm_up=1)
    assert [cost.num_experts for cost in costs] == [16, 64]
    for cost in costs:
        assert list(cost.passes_ms) == list(PASSES) and list(cost.updates_ms) == list(UPDATES)
        assert all(value > 0 for value in (*cost.passes_ms.values(), *cost.updates_ms.values()))
        assert 4 <= cost.num_taken <= min(cost.num_experts, 12 * 4)
    with pytest.raises(ValueError, match='take 9'):
        measure_expert_cost([10], shape)


def test_a_step_counts_the_passes_that_its_optimizer_needs() -> None:
    cost = ExpertCost(16, 9, dict(dense=3.0, sparse=2.0), {'AdamW': 5.0, 'AdamW, fused': 1.0, 'RowAdamW': 0.5})
    assert [cost.step_ms(name) for name in UPDATES] == [8.0, 4.0, 2.5]


def test_plot_has_passes_beside_updates() -> None:
    figure = plot_expert_cost(
        [16, 64, 256],
        dict(dense=[1.0, 2.0, 4.0]),
        dict(AdamW=[0.1, 0.4, 1.6]),
        fits=dict(dense=PowerLaw(0.0, 0.25, 0.5)),
    )
    left, right = figure.axes
    points, fitted, root = left.get_lines()
    assert list(points.get_ydata()) == root.get_ydata().tolist() == [1.0, 2.0, 4.0]
    np.testing.assert_allclose(fitted.get_ydata()[[0, -1]], [1.0, 4.0])
    assert list(right.get_lines()[0].get_ydata()) == [0.1, 0.4, 1.6]
    assert points.get_label() == 'dense gradients: 0.00 + 0.2500 E^0.50'
    assert left.get_xscale() == left.get_yscale() == right.get_yscale() == 'log'


def test_command_prints_fits_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ['--rows', '20', '--rounds', '2', '--warm-up', '1', '--out-dir', str(tmp_path)]
    assert measure_experts.main(['--experts', '64', '16', '256', *options]) == 0
    out = capsys.readouterr().out
    assert 'passes with sparse gradients: ' in out and ' E^' in out
    assert '256 experts: a step is cheapest with ' in out
    report = json.loads((tmp_path / 'cost.json').read_text(encoding='utf-8'))
    assert [cost['num_experts'] for cost in report['costs']] == [16, 64, 256]
    assert set(report['fits']) == set(PASSES)
    assert (tmp_path / 'cost.png').stat().st_size > 1000
    assert measure_experts.main(['--experts', '16', '64', *options]) != 0
    assert '--experts must be three numbers' in capsys.readouterr().err
    assert measure_experts.main(['--experts', '16', '64', '250', *options]) != 0
    assert 'num_experts must be the square' in capsys.readouterr().err
