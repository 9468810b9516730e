"""Contracts of every registered gradient modulator."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from mmengine.config import Config

from mmfas.engine.modulators import BaseModulator, ModalityGradients, Segments
from mmfas.registry import GRADIENT_MODULATORS
from mmfas.structures import MODALITIES

#: How many modulators there were when this list was last looked at; raise it when one is added.
NUM_MODULATORS = 4

GRADIENT_MODULATORS.import_from_location()
NAMES = sorted(n for n, cls in GRADIENT_MODULATORS.module_dict.items() if cls.__module__.startswith('mmfas.'))
each_modulator = pytest.mark.parametrize('name', NAMES)
pytestmark = pytest.mark.engine


def build(name: str) -> BaseModulator:
    return GRADIENT_MODULATORS.build(GRADIENT_MODULATORS.module_dict[name].example_cfg())


def gradients(counts: tuple[int, ...] = (4, 2, 4)) -> ModalityGradients:
    generator = torch.Generator().manual_seed(0)
    there = torch.tensor(counts) > 0
    rows = torch.randn(3, 10, generator=generator, dtype=torch.float64) * there[:, None]
    losses = torch.rand(3, generator=generator, dtype=torch.float64) * there
    return ModalityGradients(
        modalities=MODALITIES,
        rows=rows,
        main=torch.randn(10, generator=generator, dtype=torch.float64),
        losses=losses,
        counts=torch.tensor(counts).double(),
        confidence=torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64),
        segments=Segments.of((2, 2, 2), (0, 1, 2)),
        slices=(slice(0, 6), slice(6, 10)),
        names=('a', 'b'),
    )


def test_all_modulators_are_found() -> None:
    assert len(NAMES) >= NUM_MODULATORS, NAMES


@each_modulator
def test_builds_from_text_and_round_trips_its_state(name: str) -> None:
    cfg = Config(dict(modulator=GRADIENT_MODULATORS.module_dict[name].example_cfg()))
    assert Config.fromstring(cfg.pretty_text, '.py').pretty_text == cfg.pretty_text
    modulator, twin = build(name), build(name)
    modulator.modulate(gradients())
    twin.load_state_dict(modulator.state_dict())
    assert torch.equal(modulator.modulate(gradients()), twin.modulate(gradients()))


@each_modulator
@pytest.mark.parametrize('counts', [(4, 2, 4), (4, 0, 4), (4, 0, 0)])
def test_one_direction_for_any_subset_without_changing_the_rows(name: str, counts: tuple[int, ...]) -> None:
    given = gradients(counts)
    before = given.rows.clone()
    direction = build(name).modulate(given)
    assert direction.shape == (10,) and torch.isfinite(direction).all()
    assert torch.equal(given.rows, before)


@each_modulator
def test_homogeneous_for_the_loss_scale(name: str) -> None:
    given = gradients()
    scaled = replace(given, rows=given.rows * 1024, main=given.main * 1024)
    torch.testing.assert_close(build(name).modulate(scaled), 1024 * build(name).modulate(given))


@each_modulator
def test_not_a_number_passes_through(name: str) -> None:
    given = gradients()
    given.rows[1, 3] = float('nan')
    assert not torch.isfinite(build(name).modulate(given)).all()
