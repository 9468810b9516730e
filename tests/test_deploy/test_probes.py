"""The scenes without a face look like what a sensor delivers, are the same every time, and reach the loader."""

from __future__ import annotations

import numpy as np
import pytest

from mmfas.datasets.transforms import LoadMultiModalImages
from mmfas.datasets.transforms.loading import LoadedFile
from mmfas.deploy.probes import PROBES, Probe, render_probes
from mmfas.deploy.quality import judge_quality

SCENES = [name for name in PROBES if name not in ('black frame', 'white frame', 'noise')]


@pytest.fixture(scope='module')
def probes() -> dict[str, Probe]:
    """All probes at the size of small crops."""
    return {probe.name: probe for probe in render_probes(64)}


def test_all_probes_are_raw_registered_pictures(probes: dict[str, Probe]) -> None:
    assert list(probes) == list(PROBES) and len(probes) >= 10
    for probe in probes.values():
        assert (probe.rgb.shape, probe.rgb.dtype) == ((64, 64, 3), np.uint8)
        assert (probe.depth.shape, probe.depth.dtype) == ((64, 64), np.uint16)
        assert (probe.ir.shape, probe.ir.dtype) == ((64, 64), np.uint8)
        assert probe.shows == PROBES[probe.name]


@pytest.mark.parametrize('size', [16, 57, 200])
def test_any_size(size: int) -> None:
    for probe in render_probes(size):
        assert probe.rgb.shape == (size, size, 3) and probe.depth.shape == probe.ir.shape == (size, size)


@pytest.mark.parametrize(
    ('name', 'low', 'high'),
    [
        ('wall', 800, 1700),
        ('white sheet', 450, 700),
        ('room corner', 1500, 3000),
        ('ball', 500, 600),
        ('curtain', 700, 1100),
        ('checkerboard', 500, 760),
        ('screen', 480, 650),
    ],
)
def test_distances_are_those_of_the_scene_with_noise_and_holes(
    name: str, low: float, high: float, probes: dict[str, Probe]
) -> None:
    depth = probes[name].depth
    readings = depth[depth > 0]
    assert low < np.median(readings) < high
    assert 0 < (depth == 0).mean() < 0.4, 'some holes, but most pixels have a reading'
    assert np.abs(np.diff(depth.astype(int), axis=1)).max() > 0 and len(np.unique(readings)) > 5


def test_a_wall_is_a_plane_but_a_ball_is_round_and_paper_is_brighter_in_the_infrared_than_toner(
    probes: dict[str, Probe],
) -> None:
    rows, columns = np.mgrid[:64, :64].reshape(2, -1)
    terms = np.stack([np.ones_like(rows), rows, columns], 1).astype(float)
    residual = {}
    for name in ('wall', 'ball'):
        probe = probes[name].depth.reshape(-1).astype(float)
        near = (probe > 0) & (probe < 1000 if name == 'ball' else probe < 2000)
        fit = np.linalg.lstsq(terms[near], probe[near], rcond=None)[0]
        residual[name] = np.abs(probe[near] - terms[near] @ fit).max()
    assert residual['wall'] < 30 and residual['ball'] > 30
    board = probes['checkerboard']
    dark = board.rgb.max(axis=2) < 90
    assert 0.3 < dark.mean() < 0.7
    assert board.ir[dark].mean() < 0.5 * board.ir[~dark].mean()
    assert probes['screen'].rgb.std() > 20 and probes['screen'].ir.std() < 12, 'a screen is even in the infrared'


def test_same_seed_same_bytes_alone_or_together_and_another_seed_another_scene(probes: dict[str, Probe]) -> None:
    for name in PROBES:
        (alone,) = render_probes(64, names=[name])
        (other,) = render_probes(64, names=[name], seed=1)
        for modality, picture in probes[name].arrays().items():
            np.testing.assert_array_equal(picture, alone.arrays()[modality])
        assert (
            not np.array_equal(alone.rgb, other.rgb)
            or not np.array_equal(alone.ir, other.ir)
            or name == 'white frame'
        )


@pytest.mark.parametrize('coded', [False, True])
def test_the_loader_takes_them_and_the_gate_refuses_those_without_content(
    coded: bool, probes: dict[str, Probe]
) -> None:
    loader = LoadMultiModalImages(depth_range_mm=None if coded else (300, 1500))
    refused = {}
    for name, probe in probes.items():
        files: list[LoadedFile] = []
        arrays = probe.arrays(coded_depth=coded)
        loader.load({'img_arrays': arrays, 'modalities': ('rgb', 'depth', 'ir'), 'sample_id': name}, files.append)
        refused[name] = sorted(found.code for found in judge_quality(files, loader))
    assert refused['black frame'] == refused['white frame'] == ['no content', 'no content', 'no depth']
    # A corner at more than two metres is beyond the range of a camera for faces.
    expected = {'room corner': [] if coded else ['outside the range']}
    for name in (*SCENES, 'noise'):
        assert refused[name] == expected.get(name, []), name


def test_coded_depth_is_bright_where_it_is_near_and_black_in_holes(probes: dict[str, Probe]) -> None:
    depth, code = probes['ball'].depth, probes['ball'].arrays(coded_depth=True)['depth']
    assert code.dtype == np.uint8
    np.testing.assert_array_equal(code == 0, depth == 0)
    near = (depth > 0) & (depth < 560)
    assert code[near].mean() > code[(depth > 0) & ~near].mean() + 20
    assert not probes['black frame'].arrays(coded_depth=True)['depth'].any()


def test_values_out_of_range_are_refused() -> None:
    for size in (15, 5000):
        with pytest.raises(ValueError, match=f'a side of 16 to 4096 pixels, got {size}'):
            next(render_probes(size))
    with pytest.raises(ValueError, match='seed must be 0 or more, got -1'):
        next(render_probes(64, seed=-1))
    with pytest.raises(KeyError, match="there is no probe 'face'; there are wall, white sheet, "):
        next(render_probes(64, names=['wall', 'face']))
