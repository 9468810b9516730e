"""Registered depth and infrared are what the colour camera would see of the scene."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from mmfas.deploy.registration import Pinhole, register_to_colour

DEPTH = Pinhole(160, 120, 150.0, 150.0, 79.5, 59.5)
COLOUR = Pinhole(220, 160, 215.0, 214.0, 111.0, 80.0)
SHIFT = (25.0, -4.0, 3.0)  # of points, from depth to colour, in mm
NEAR, FAR = 500.0, 800.0


def scene(camera: Pinhole, shift: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Return distance and infrared of a square before a wall, as seen by a camera that moves points by a shift."""
    rows, columns = np.mgrid[: camera.height, : camera.width]
    x, y = (columns - camera.cx) / camera.fx, (rows - camera.cy) / camera.fy
    away = np.full(rows.shape, FAR + shift[2])
    across = x * away - shift[0]
    near_x, near_y = x * (NEAR + shift[2]) - shift[0], y * (NEAR + shift[2]) - shift[1]
    square = (np.abs(near_x) < 80) & (np.abs(near_y) < 60)
    away[square], across[square] = NEAR + shift[2], near_x[square]
    return away, (across + 600) / 5  # infrared tells where on the surface


def register(depth: np.ndarray, ir: np.ndarray | None, **changes: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """Register with the cameras of these tests."""
    arguments = {'depth_camera': DEPTH, 'colour_camera': COLOUR, 'rotation': np.eye(3), 'translation_mm': SHIFT}
    return register_to_colour(depth, ir, **{**arguments, **changes})


def test_depth_and_infrared_are_what_the_colour_camera_sees() -> None:
    away, light = scene(DEPTH, (0.0, 0.0, 0.0))
    moved, lit = register(np.rint(away).astype(np.uint16), np.rint(light).astype(np.uint8))
    expected, expected_light = scene(COLOUR, SHIFT)
    assert moved.shape == (160, 220) and moved.dtype == np.uint16 and lit is not None and lit.dtype == np.uint8
    seen = moved > 0
    assert seen.mean() > 0.7
    wrong = seen & (np.abs(moved - expected) > 1)
    assert wrong.sum() < 0.02 * seen.sum(), 'only at the edges of the square'
    right = seen & ~wrong
    assert np.abs(lit[right] - expected_light[right]).mean() < 1
    assert not lit[~seen].any()
    # Seen from the colour camera the square hides other parts of the wall: what it uncovers has no reading.
    edges = np.flatnonzero(expected[80] < 600)[[0, -1]]
    beside = [moved[80, edges[0] - 4 : edges[0]], moved[80, edges[1] + 1 : edges[1] + 5]]
    assert [bool((strip == 0).any()) for strip in beside] == [True, False]


def test_the_same_camera_changes_nothing_and_holes_stay_holes() -> None:
    rng = np.random.default_rng(0)
    depth = rng.integers(300, 1500, (120, 160)).astype(np.uint16)
    depth[rng.random(depth.shape) < 0.3] = 0
    ir = rng.integers(1, 1023, (120, 160)).astype(np.uint16)
    # A trace of shrinking keeps the corners of a pixel, which lie on the edge to the next, inside it.
    shrunk = Pinhole(160, 120, 149.0, 149.0, 79.5, 59.5)
    moved, lit = register(depth, ir, colour_camera=DEPTH, translation_mm=(0, 0, 0))
    assert lit is not None
    some = depth > 0
    np.testing.assert_array_less(moved[some], depth[some] + 1)  # a neighbour may be nearer, none farther
    assert (moved[some] > 0).all()
    alone = np.zeros_like(depth)
    alone[30, 40] = 700
    found, light = register(alone, ir, colour_camera=shrunk, translation_mm=(0, 0, 0))
    places = np.argwhere(found)
    assert light is not None and 1 <= len(places) <= 4 and np.abs(places - (30, 40)).max() <= 1
    assert set(light[found > 0]) == {ir[30, 40]} and set(found[found > 0]) == {700}


def test_units_rotation_and_nothing_at_all() -> None:
    depth = np.zeros((120, 160), np.uint16)
    assert not register(depth, None)[0].any() and register(depth, None)[1] is None
    depth[60, 80] = 7000
    tenth, _ = register(depth, None, mm_per_unit=0.1)
    assert set(tenth[tenth > 0]) == {703}
    quarter_turn = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    depth[60, 80], depth[60, 130] = 0, 1000
    turned, _ = register(depth, None, rotation=quarter_turn, translation_mm=(0, 0, 0))
    (row, column), *_ = np.argwhere(turned)
    assert abs(column - 111) <= 2 and abs(row - (80 + 50.5 / 150 * 214)) <= 2
    assert not register(depth, None, translation_mm=(0, 0, -2000))[0].any(), 'behind the colour camera'


def test_distortion_of_both_cameras_is_obeyed() -> None:
    bent = (0.12, -0.2, 0.002, -0.001, 0.05)
    depth_camera = Pinhole(160, 120, 150.0, 150.0, 79.5, 59.5, bent)
    other = (-0.1, 0.1, 0.0, 0.0)
    colour_camera = Pinhole(220, 160, 215.0, 214.0, 111.0, 80.0, other)
    depth = np.zeros((120, 160), np.uint16)
    depth[20, 140] = 600
    moved, _ = register(depth, None, depth_camera=depth_camera, colour_camera=colour_camera)
    ray = cv2.undistortPoints(np.array([[[140.0, 20.0]]]), depth_camera.matrix, np.array(bent))[0, 0]
    point = np.array([[*ray * 600, 600]]) + SHIFT
    expected = cv2.projectPoints(point, np.zeros(3), np.zeros(3), colour_camera.matrix, np.array(other))[0][0, 0]
    places = np.argwhere(moved)
    assert np.abs(places[:, ::-1].mean(axis=0) - expected).max() < 1
    straight, _ = register(depth, None)
    assert np.abs(np.argwhere(straight).mean(axis=0) - places.mean(axis=0)).max() > 2, 'and it matters'


def test_what_does_not_fit_is_refused() -> None:
    depth = np.ones((120, 160), np.uint16)
    with pytest.raises(ValueError, match=r'depth must be uint16 of \(120, 160\), but is float64'):
        register(depth / 1, None)
    with pytest.raises(ValueError, match=r'but is uint16 of \(160, 120\)'):
        register(depth.T, None)
    with pytest.raises(ValueError, match=r'ir must be uint8 or uint16 of \(120, 160\), as depth is, but is uint8'):
        register(depth, np.ones((60, 80), np.uint8))
    with pytest.raises(ValueError, match='distortion must have 0, 4, 5 or 8 coefficients, got 3'):
        Pinhole(4, 4, 1.0, 1.0, 0.0, 0.0, (1.0, 2.0, 3.0))
    with pytest.raises(ValueError, match='must be above 0'):
        Pinhole(4, 4, 0.0, 1.0, 0.0, 0.0)
