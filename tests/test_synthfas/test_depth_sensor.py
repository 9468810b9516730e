"""The depth sensor does what its formulas say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mmfas.synthfas import DOMAINS
from mmfas.synthfas.optics.camera import Camera, project
from mmfas.synthfas.optics.depth_sensor import (
    DepthSensor,
    degrade_depth,
    depth_sigma_mm,
    encode_depth,
    hole_probability,
)
from mmfas.synthfas.people.head import to_surface
from mmfas.synthfas.people.head_shape import head_grid
from mmfas.synthfas.records import Pose

SIDE = 160
#: Distance in mm and NIR reflectance, both (SIDE, SIDE).
Planes = tuple[np.ndarray, np.ndarray]


@pytest.fixture
def plane() -> Planes:
    """A plane at 600 mm with skin-like NIR reflectance."""
    return np.full((SIDE, SIDE), 600.0, np.float32), np.full((SIDE, SIDE), 0.5, np.float32)


def quiet(**changes: Any) -> DepthSensor:
    """A sensor without holes and quantisation."""
    sensor = replace(
        DOMAINS['C'].depth, quantum_per_m2_mm=0.0, edge_mm=1e9, baseline_mm=0.0, correlation_px=0.0, dropout=0.0
    )
    return replace(sensor, **changes)


def measure(plane: Planes, sensor: DepthSensor, seed: int = 0) -> np.ndarray:
    """Measure a plane without any hole."""
    depth, nir = plane
    return degrade_depth(depth, nir, np.zeros_like(depth), sensor, np.random.default_rng(seed))


def test_a_facing_plane_at_600_mm_reads_600_mm() -> None:
    grid = head_grid(4.0)
    flat = np.zeros(grid.shape, np.float32)
    surface = to_surface(grid, flat, flat + 1, np.zeros((*grid.shape, 6), np.float32), relief_mm=0.0)
    view = project(Camera.framing(64, 150.0, 600.0), surface, Pose(z_mm=600.0))
    np.testing.assert_allclose(view.depth_mm, 600.0, rtol=1e-5)
    np.testing.assert_allclose(view.alpha, 1.0)


def test_a_turned_plane_is_nearer_on_the_side_it_turns_to() -> None:
    grid = head_grid(4.0)
    flat = np.zeros(grid.shape, np.float32)
    surface = to_surface(grid, flat, flat + 1, np.zeros((*grid.shape, 6), np.float32), relief_mm=0.0)
    camera = Camera.framing(65, 150.0, 600.0)
    view = project(camera, surface, Pose(yaw_deg=10.0, z_mm=600.0))
    tangent = np.tan(np.deg2rad(10.0))
    ray = camera.rays()[0]
    expected = 600.0 / (1.0 - ray * tangent)
    np.testing.assert_allclose(view.depth_mm[32], expected, rtol=1e-4)


@pytest.mark.parametrize('kind', ['triangulation', 'tof'])
def test_noise_has_the_mean_and_variance_of_the_formula(plane: Planes, kind: str) -> None:
    sensor = quiet(kind=kind)
    error = measure(plane, sensor) - plane[0]
    sigma = float(depth_sigma_mm(*plane, sensor)[0, 0])
    assert abs(error.mean()) < 4 * sigma / SIDE
    assert error.std() == pytest.approx(sigma, rel=0.03)


def test_correlated_noise_keeps_its_variance(plane: Planes) -> None:
    errors = [measure(plane, quiet(correlation_px=3.0), seed).ravel() - 600.0 for seed in range(4)]
    sigma = float(depth_sigma_mm(*plane, quiet())[0, 0])
    assert np.std(errors) == pytest.approx(sigma, rel=0.06)


def test_triangulation_noise_grows_with_the_square_of_the_distance() -> None:
    sensor = quiet(noise_floor_mm=0.0)
    near, far = (depth_sigma_mm(np.float32([[z]]), np.float32([[0.5]]), sensor)[0, 0] for z in (500.0, 1000.0))
    assert far == pytest.approx(4 * near, rel=1e-5)


def test_quantisation_leaves_steps_that_grow_with_the_square_of_the_distance() -> None:
    sensor = quiet(noise_floor_mm=0.0, noise_per_m2_mm=0.0, quantum_per_m2_mm=4.0)
    ramp = np.linspace(990.0, 1010.0, SIDE, dtype=np.float32)[None, :].repeat(SIDE, 0)
    levels = np.unique(measure((ramp, np.full_like(ramp, 0.5)), sensor))
    np.testing.assert_allclose(np.diff(levels), 4.0, rtol=0.05)


@pytest.mark.parametrize('name', ['noise_per_m2_mm', 'noise_floor_mm'])
def test_error_grows_with_every_noise_parameter(plane: Planes, name: str) -> None:
    spreads = [measure(plane, quiet(**{name: value})).std() for value in (0.5, 1.5, 4.0)]
    assert spreads[0] < spreads[1] < spreads[2]


@pytest.mark.parametrize('name', ['dropout', 'dark_dropout', 'shine_dropout', 'sun_dropout'])
def test_holes_grow_with_every_dropout_parameter(plane: Planes, name: str) -> None:
    depth, _ = plane
    dark = np.full_like(depth, 0.02)
    shares = []
    for value in (0.0, 0.3, 0.7):
        sensor = quiet(dark_dropout=0.0, shine_dropout=0.0, sun_dropout=0.0)
        sensor = replace(sensor, **{name: value})
        chance = hole_probability(depth, dark, dark + 0.7, dark + 0.8, sensor)
        shares.append((degrade_depth(depth, dark, chance, sensor, np.random.default_rng(3)) == 0).mean())
    assert shares[0] == 0.0
    assert shares[0] < shares[1] < shares[2]


def test_out_of_range_is_a_hole(plane: Planes) -> None:
    sensor = quiet(range_mm=(200.0, 500.0))
    assert (hole_probability(*plane, np.zeros((SIDE, SIDE)), np.zeros((SIDE, SIDE)), sensor) == 1.0).all()


def test_edges_make_holes_and_wider_baselines_more_of_them() -> None:
    step = np.full((SIDE, SIDE), 900.0, np.float32)
    step[:, : SIDE // 2] = 500.0
    shares = []
    for baseline in (0.0, 25.0, 75.0):
        sensor = quiet(edge_mm=30.0, baseline_mm=baseline)
        zero = np.zeros_like(step)
        out = degrade_depth(step, zero + 0.5, zero, sensor, np.random.default_rng(0), focal_px=200.0)
        shares.append((out == 0).mean())
    assert 0 < shares[0] < shares[1] < shares[2]


@pytest.mark.parametrize('encoding', ['window', 'inverse', 'robust'])
@pytest.mark.parametrize('near_bright', [True, False])
def test_codes_follow_the_polarity_and_keep_holes_black(encoding: str, near_bright: bool) -> None:
    sensor = quiet(encoding=encoding, near_bright=near_bright)
    depth = np.linspace(540.0, 660.0, 60, dtype=np.float32)[None, :].repeat(60, 0)
    depth[:3] = 0.0
    code = encode_depth(depth, sensor, 600.0)
    assert (code[:3] == 0).all()
    assert (code[3:] > 0).all()
    steps = np.diff(code[10].astype(int))
    assert (steps <= 0).all() if near_bright else (steps >= 0).all()
    assert abs(int(code[10, 0]) - int(code[10, -1])) > 40


def test_an_unknown_encoding_is_refused() -> None:
    with pytest.raises(ValueError, match="must be 'window', 'inverse' or 'robust', got 'jet'"):
        encode_depth(np.ones((10, 10), np.float32), quiet(encoding='jet'), 600.0)
