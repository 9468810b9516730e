"""What the pictures show: materials, attacks, perturbations; and that no shortcut gives the label away."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmfas.synthfas import DOMAINS, PERTURBATIONS, Setting, Stress, plan_split, render_dataset, render_video
from mmfas.synthfas.attacks.masks import build_mannequin
from mmfas.synthfas.attacks.media import INKS, Sheet, ink_reflectance
from mmfas.synthfas.files.contact_sheet import contact_sheet, write_contact_sheet
from mmfas.synthfas.files.statistics import (
    FolderStatistics,
    linear_probe_auc,
    plot_statistics,
    read_statistics,
)
from mmfas.synthfas.materials import MATERIALS, skin_colour
from mmfas.synthfas.optics.compose import Picture
from mmfas.synthfas.optics.lighting import shade_nir
from mmfas.synthfas.optics.photo_sensor import expose, expose_nir
from mmfas.synthfas.people.head_shape import head_grid
from mmfas.synthfas.plan.plan import SIZES, Size, VideoPlan, subject_of
from mmfas.synthfas.plan.stress import stressed_depth
from mmfas.synthfas.records import Light

TINY = Setting('tiny', 1)


def first(domain: str, pai: str, split: str = 'test', setting: Setting = TINY) -> VideoPlan:
    """Return the first video of an instrument."""
    return next(plan for plan in plan_split(replace(setting, size='small'), domain, split) if plan.pai == pai)


def test_skin_is_dark_in_the_visible_and_bright_in_nir() -> None:
    light, dark = skin_colour(0.0, 0.5), skin_colour(1.0, 0.5)
    assert light[0] / dark[0] > 4
    assert light[3] / dark[3] < 1.6
    tones = [skin_colour(melanin, 0.5)[:4] for melanin in np.linspace(0, 1, 9)]
    assert (np.diff(tones, axis=0) < 0).all()
    assert all(0 <= value <= 1 for row in MATERIALS.values() for value in row)


def test_triples_are_8_bit_and_square() -> None:
    for domain in 'CPSW':
        for frame in render_video(first(domain, 'live'), TINY):
            assert frame.rgb.shape == (48, 48, 3)
            assert frame.depth.shape == frame.ir.shape == (48, 48)
            assert {a.dtype for a in (frame.rgb, frame.depth, frame.ir)} == {np.dtype(np.uint8)}


def test_a_screen_is_dark_in_nir_and_flat_in_depth() -> None:
    setting = Setting('tiny', 1)
    plans = [plan for plan in plan_split(Setting('small', 1), 'P', 'test') if plan.pai in ('live', 'replay')]
    relief: dict[str, list[float]] = {'live': [], 'replay': []}
    for plan in plans[:25] + plans[-25:]:
        depth = render_video(plan, setting)[0].depth[14:34, 14:34].astype(float)
        relief[plan.pai].append(np.subtract(*np.percentile(depth[depth > 0], (90, 10))))
    assert np.median(relief['replay']) < 0.6 * np.median(relief['live'])


@pytest.mark.parametrize('domain', 'CPSW')
def test_readings_in_mm_are_those_that_are_coded(domain: str) -> None:
    plan = first(domain, 'live')
    frame = render_video(plan, TINY)[0]
    measured = frame.depth_mm > 0
    assert frame.depth_mm.dtype == np.uint16 and np.array_equal(measured, frame.depth > 0)
    near, far = frame.depth_mm[measured].min(), frame.depth_mm[measured].max()
    assert 250 < near < DOMAINS[domain].distance_mm < far + 100 and far < 1700
    # Near is bright: the code falls with the distance.
    assert np.corrcoef(frame.depth_mm[measured], frame.depth[measured])[0, 1] < -0.5


def test_frames_of_a_video_differ_a_little() -> None:
    one, two, _ = render_video(first('W', 'live'), TINY)
    assert not np.array_equal(one.rgb, two.rgb)
    assert np.abs(one.rgb.astype(float) - two.rgb).mean() < 25


def test_less_light_means_a_darker_and_noisier_picture() -> None:
    sensor = replace(DOMAINS['C'].rgb, max_gain=1.0)
    flat = np.full((32, 32, 3), 0.2, np.float32)
    seen = [
        expose(flat, sensor, np.random.default_rng(0), target_factor=1.0, cast=np.ones(3), light_level=level)
        for level in (1.0, 0.3, 0.05)
    ]
    assert seen[0].mean() > seen[1].mean() > seen[2].mean()
    contrast = [picture.std() / picture.mean() for picture in seen]
    assert contrast[0] < contrast[1] < contrast[2]


@pytest.mark.parametrize('name', [name for name in PERTURBATIONS if name != 'unseen_pai'])
def test_every_perturbation_changes_its_own_modalities_alone(name: str) -> None:
    plan = first('W', 'live')
    plain = render_video(plan, TINY)[0]
    perturbed = render_video(plan, replace(TINY, stress=Stress(**{name: 1.0})))[0]
    changed = {m for m in ('rgb', 'depth', 'ir') if not np.array_equal(getattr(plain, m), getattr(perturbed, m))}
    expected = {
        'depth_noise': {'depth'},
        'depth_dropout': {'depth'},
        'ir_overexposure': {'ir'},
        'misregistration': {'depth', 'ir'},
        'dark_rgb': {'rgb'},
        'dark_ir': {'ir'},
        'blur': {'rgb', 'ir'},
        'subject_tone': {'rgb', 'ir'},
    }[name]
    assert expected <= changed
    assert name == 'subject_tone' or changed == expected


def test_full_perturbations_are_as_strong_as_documented() -> None:
    plain = DOMAINS['W'].depth
    worst = stressed_depth(plain, Stress(depth_noise=1.0, depth_dropout=1.0))
    assert worst.noise_per_m2_mm == pytest.approx(64 * plain.noise_per_m2_mm)
    assert worst.noise_floor_mm == pytest.approx(64 * plain.noise_floor_mm)
    assert worst.dropout == pytest.approx(plain.dropout + 0.85)
    assert stressed_depth(plain, Stress(blur=1.0)) is plain
    camera = replace(DOMAINS['P'].nir, read_noise=0.0, shot_noise=0.0, gamma=1.0, target=0.02, max_gain=100.0)
    flat = np.full((32, 32), 0.5, np.float32)
    right, half, over = (
        expose_nir(flat, camera, np.random.default_rng(0), target_factor=1.0, overexposure=value).mean()
        for value in (0.0, 0.5, 1.0)
    )
    assert half == pytest.approx(2 * right + 0.06, rel=1e-4)  # half of the stops
    assert over == pytest.approx(4 * right + 0.12, rel=1e-4)
    weak = replace(camera, max_gain=1.0)
    dark = expose_nir(flat, weak, np.random.default_rng(0), target_factor=1.0, light_level=0.01).mean()
    assert dark == pytest.approx(0.01 * 0.5, rel=1e-4)


def test_misregistration_moves_depth_and_nir_by_its_fraction_of_the_width() -> None:
    plan = first('P', 'live')
    plain, perturbed = (
        render_video(plan, replace(TINY, stress=Stress(misregistration=value)))[0].ir.astype(np.float32)
        for value in (0.0, 1.0)
    )
    window = np.outer(np.hanning(48), np.hanning(48)).astype(np.float32)
    (dx, dy), _ = cv2.phaseCorrelate(plain, perturbed, window)
    assert np.hypot(dx, dy) == pytest.approx(0.12 * 48, abs=1.0)


def test_nir_falls_with_the_square_of_the_distance() -> None:
    away = Light((0.0, -0.6, 0.8), (1.0, 1.0, 1.0), (0.4, 0.4, 0.4), 0.5, sun=0.0)
    normal = np.zeros((8, 8, 3), np.float32)
    normal[..., 2] = 1.0
    colour, optics = np.full((8, 8, 4), 0.5, np.float32), np.zeros((8, 8, 3), np.float32)
    near, far = (
        shade_nir(
            Picture(np.full((8, 8), distance, np.float32), normal, colour, optics),
            away,
            led_mm=(30.0, 0.0),
            range_mm=500.0,
        )
        for distance in (400.0, 1200.0)
    )
    np.testing.assert_allclose(near, 9 * far, rtol=1e-5)


def test_inks_differ_in_nir_as_documented() -> None:
    black = np.full((2, 2, 3), 0.01, np.float32)
    sheet = Sheet('dye', 'paper', 1.0, 0.0, 0.0, True, '', 0.0, 1.0)
    dye, carbon, pigment = (ink_reflectance(black, replace(sheet, ink=ink))[0, 0] for ink in INKS)
    assert dye[:3].max() < 0.05 < 0.75 < dye[3]
    assert max(carbon[3], pigment[3]) < 0.35
    red = np.array([[[0.6, 0.05, 0.05]]], np.float32)
    _, carbon, pigment = (ink_reflectance(red, replace(sheet, ink=ink))[0, 0] for ink in INKS)
    assert carbon[3] > pigment[3] + 0.1  # a red has little black in it


def test_polymers_are_as_dark_or_bright_in_nir_as_the_domain_says() -> None:
    def brightness(nir: float) -> float:
        subject = subject_of(TINY, plan_split(TINY, 'W', 'test')[0], 0)
        maps = build_mannequin(subject, head_grid(4.0, subject), np.random.default_rng(0), nir=nir)
        return float(np.median(maps.canvas[..., 3]))

    assert brightness(0.2) == pytest.approx(0.2, abs=0.03)
    assert brightness(0.9) == pytest.approx(0.9, abs=0.03)


def test_perturbations_are_monotone() -> None:
    plan = first('C', 'live')
    holes = []
    for value in (0.0, 0.5, 1.0):
        frames = render_video(plan, replace(TINY, stress=Stress(depth_dropout=value)))
        holes.append(np.mean([(frame.depth == 0).mean() for frame in frames]))
    assert holes[0] < holes[1] < holes[2]


def test_contact_sheet_shows_every_instrument(tmp_path: Path) -> None:
    sheet = contact_sheet(TINY, domains=('S',), captions=False)
    assert sheet.shape == (2 * 96, 3 * 96, 3)  # S has live and print
    write_contact_sheet(tmp_path / 'sheet.png', TINY, domains=('S',))
    assert (tmp_path / 'sheet.png').stat().st_size > 10_000


def test_probe_finds_a_leak_and_stays_at_chance_without() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat((0, 1), 150)
    values = rng.normal(size=(300, 11))
    videos = tuple(str(number // 3) for number in range(300))
    clean = FolderStatistics(values, labels, ('x',) * 300, videos)
    assert abs(linear_probe_auc(clean) - 0.5) < 0.12
    leaky = FolderStatistics(values + 2.0 * labels[:, None], labels, ('x',) * 300, videos)
    assert linear_probe_auc(leaky) > 0.95


@pytest.fixture(scope='module')
def rendered_lists(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small test lists of two domains at 48 pixels."""
    SIZES['probe'] = Size('probe', 48, 1, (30, 30, 300))
    root = tmp_path_factory.mktemp('probe')
    render_dataset(root, Setting('probe', 0), splits=('test',))
    del SIZES['probe']
    return root


@pytest.mark.slow
@pytest.mark.parametrize('domain', list('CPSW'))
def test_mean_std_and_file_size_do_not_give_the_label_away(rendered_lists: Path, domain: str) -> None:
    assert linear_probe_auc(read_statistics(rendered_lists, domain, 'test')) < 0.78


@pytest.mark.slow
def test_statistics_plot(rendered_lists: Path, tmp_path: Path) -> None:
    plot_statistics(tmp_path / 'plot.png', rendered_lists)
    assert (tmp_path / 'plot.png').stat().st_size > 10_000
    with pytest.raises(ValueError, match="has no list of the split 'train'; render it first"):
        plot_statistics(tmp_path / 'plot.png', rendered_lists, split='train')
