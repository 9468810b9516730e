"""The four domains of SynthFAS: one frozen record each, with every number that makes it different.

Calibrating the bench means editing numbers here, raising `RENDERER_VERSION` and saying in `_EARLIER` what they
were before, so that whatever was measured on an earlier version can be measured again.
"""

from __future__ import annotations

from dataclasses import replace

from mmfas.synthfas.optics.depth_sensor import DepthSensor
from mmfas.synthfas.optics.photo_sensor import PhotoSensor
from mmfas.synthfas.people.subject import SubjectMix
from mmfas.synthfas.plan.domain import LISTS, SITE, SPLITS, Domain
from mmfas.utils.errors import InputError

__all__ = ['DOMAINS', 'LISTS', 'RENDERER_VERSION', 'RENDERER_VERSIONS', 'SITE', 'SPLITS', 'Domain', 'domains_of']

#: The newest version; raise with every change that alters a pixel or a list. The manifest carries it.
RENDERER_VERSION = '1.1.0'

_C = Domain(
    key='C',
    stands_for='CASIA-CeFA',
    subjects=SubjectMix(
        melanin=(0.62, 0.24), age=(0.05, 0.6), glasses_rate=0.15, beard_rate=0.25, long_hair_rate=0.3
    ),
    distance_mm=720.0,
    crop_mm=230.0,
    pose_deg=9.0,
    shift_mm=6.0,
    wall_mm=(850.0, 1500.0),
    sun_rate=0.35,
    warmth=(0.8, 1.7),
    shadow=0.55,
    led_mm=(25.0, 0.0),
    background_removed=False,
    misregistration_px=2.0,
    rgb=PhotoSensor(
        target=0.22,
        target_spread=0.46,
        contrast_spread=0.4,
        max_gain=4.0,
        read_noise=0.006,
        shot_noise=0.0016,
        blur_px=0.7,
        native=0.85,
        gamma=1 / 2.2,
        white_balance=0.07,
        jpeg_quality=88,
    ),
    nir=PhotoSensor(
        target=0.26,
        target_spread=0.55,
        contrast_spread=0.55,
        max_gain=3.0,
        read_noise=0.008,
        shot_noise=0.002,
        blur_px=0.9,
        native=0.6,
        gamma=1 / 2.0,
        white_balance=0.0,
        jpeg_quality=88,
    ),
    depth=DepthSensor(
        kind='triangulation',
        noise_per_m2_mm=2.2,
        noise_floor_mm=0.5,
        quantum_per_m2_mm=1.8,
        correlation_px=2.6,
        dropout=0.018,
        dark_dropout=0.15,
        shine_dropout=0.22,
        sun_dropout=0.1,
        edge_mm=34.0,
        baseline_mm=50.0,
        range_mm=(250.0, 1600.0),
        encoding='window',
        near_bright=True,
        window_mm=330.0,
        window_spread=0.8,
    ),
    frames=3,
    live_fraction=(0.25, 0.25, 0.25),
    live_per_subject=1,
    train_attacks=(('print:indoor', 1.0), ('replay', 1.0), ('print:outdoor', 1.0)),
    test_attacks=(
        ('print:indoor', 0.8),
        ('print:outdoor', 0.8),
        ('replay', 0.8),
        ('mask3d', 0.9),
        ('silicone', 0.25),
    ),
    train_inks=(0.5, 0.3, 0.2),
    test_inks=(0.4, 0.3, 0.3),
    sheet_crop=(0.40, 0.58),
    sheet_curvature=(0.0, 3.0),
    moire=(0.2, 1.0),
    skin_like=(0.0, 0.2),
    polymer_nir=(0.65, 0.9),
)

_P = Domain(
    key='P',
    stands_for='PADISI-USC',
    subjects=SubjectMix(
        melanin=(0.38, 0.28), age=(0.05, 0.85), glasses_rate=0.3, beard_rate=0.25, long_hair_rate=0.32
    ),
    distance_mm=620.0,
    crop_mm=225.0,
    pose_deg=5.0,
    shift_mm=4.0,
    wall_mm=(900.0, 1500.0),
    sun_rate=0.0,
    warmth=(0.95, 1.25),
    shadow=0.3,
    led_mm=(-60.0, -20.0),
    background_removed=False,
    misregistration_px=1.2,
    rgb=PhotoSensor(
        target=0.3,
        target_spread=0.25,
        contrast_spread=0.2,
        max_gain=6.0,
        read_noise=0.004,
        shot_noise=0.0008,
        blur_px=0.5,
        native=1.0,
        gamma=1 / 2.2,
        white_balance=0.03,
        jpeg_quality=95,
    ),
    nir=PhotoSensor(
        target=0.36,
        target_spread=0.25,
        contrast_spread=0.28,
        max_gain=4.0,
        read_noise=0.004,
        shot_noise=0.0008,
        blur_px=0.5,
        native=1.0,
        gamma=1.0,
        white_balance=0.0,
        jpeg_quality=95,
    ),
    depth=DepthSensor(
        kind='triangulation',
        noise_per_m2_mm=4.2,
        noise_floor_mm=0.8,
        quantum_per_m2_mm=0.0,
        correlation_px=5.0,
        dropout=0.01,
        dark_dropout=0.08,
        shine_dropout=0.16,
        sun_dropout=0.1,
        edge_mm=55.0,
        baseline_mm=55.0,
        range_mm=(280.0, 3000.0),
        encoding='inverse',
        near_bright=True,
        window_mm=420.0,
        window_spread=0.4,
    ),
    frames=1,
    live_fraction=(0.55, 0.55, 0.545),
    live_per_subject=3,
    train_attacks=(
        ('print', 0.5),
        ('replay', 0.5),
        ('partial', 1.0),
        ('glasses', 1.0),
        ('mask3d', 0.9),
        ('silicone', 1.1),
        ('fakehead', 0.8),
    ),
    test_attacks=(
        ('print', 1.0),
        ('replay', 1.0),
        ('partial', 0.8),
        ('glasses', 0.7),
        ('mask3d', 0.5),
        ('silicone', 0.45),
        ('fakehead', 0.2),
    ),
    train_inks=(0.55, 0.3, 0.15),
    test_inks=(0.5, 0.3, 0.2),
    sheet_crop=(0.5, 0.85),
    sheet_curvature=(0.0, 2.0),
    moire=(0.1, 0.6),
    skin_like=(0.0, 0.15),
    polymer_nir=(0.14, 0.3),
)

_S = Domain(
    key='S',
    stands_for='CASIA-SURF',
    subjects=SubjectMix(
        melanin=(0.28, 0.1), age=(0.05, 0.8), glasses_rate=0.2, beard_rate=0.08, long_hair_rate=0.35
    ),
    distance_mm=520.0,
    crop_mm=200.0,
    pose_deg=13.0,
    shift_mm=6.0,
    wall_mm=(800.0, 1600.0),
    sun_rate=0.1,
    warmth=(0.85, 1.4),
    shadow=0.45,
    led_mm=(30.0, 10.0),
    background_removed=True,
    misregistration_px=1.5,
    rgb=PhotoSensor(
        target=0.2,
        target_spread=0.25,
        contrast_spread=0.22,
        max_gain=4.0,
        read_noise=0.008,
        shot_noise=0.0024,
        blur_px=0.9,
        native=0.6,
        gamma=1 / 2.2,
        white_balance=0.06,
        jpeg_quality=80,
    ),
    nir=PhotoSensor(
        target=0.22,
        target_spread=0.4,
        contrast_spread=0.42,
        max_gain=3.0,
        read_noise=0.01,
        shot_noise=0.003,
        blur_px=1.0,
        native=0.5,
        gamma=1 / 1.6,
        white_balance=0.0,
        jpeg_quality=80,
    ),
    depth=DepthSensor(
        kind='triangulation',
        noise_per_m2_mm=3.2,
        noise_floor_mm=0.5,
        quantum_per_m2_mm=4.0,
        correlation_px=2.0,
        dropout=0.018,
        dark_dropout=0.18,
        shine_dropout=0.28,
        sun_dropout=0.12,
        edge_mm=26.0,
        baseline_mm=26.0,
        range_mm=(200.0, 1200.0),
        encoding='window',
        near_bright=True,
        window_mm=260.0,
        window_spread=0.9,
    ),
    frames=3,
    live_fraction=(0.15, 0.15, 0.25),
    live_per_subject=1,
    train_attacks=(
        ('print:e_s', 1.0),
        ('print:en_b', 1.0),
        ('print:enm_s', 1.0),
        ('print:e_b', 1.0),
        ('print:en_s', 1.0),
        ('print:enm_b', 1.0),
    ),
    test_attacks=(
        ('print:e_s', 1.0),
        ('print:en_b', 1.0),
        ('print:enm_s', 1.0),
        ('print:e_b', 1.0),
        ('print:en_s', 1.0),
        ('print:enm_b', 1.0),
    ),
    train_inks=(0.6, 0.3, 0.1),
    test_inks=(0.4, 0.3, 0.3),
    sheet_crop=(0.45, 0.75),
    sheet_curvature=(2.0, 7.5),
    moire=(0.2, 0.8),
    skin_like=(0.0, 0.25),
    polymer_nir=(0.5, 0.8),
)

_W = Domain(
    key='W',
    stands_for='WMCA',
    subjects=SubjectMix(
        melanin=(0.3, 0.2), age=(0.1, 1.0), glasses_rate=0.28, beard_rate=0.3, long_hair_rate=0.28
    ),
    distance_mm=430.0,
    crop_mm=215.0,
    pose_deg=5.0,
    shift_mm=4.0,
    wall_mm=(900.0, 2600.0),
    sun_rate=0.12,
    warmth=(0.7, 1.9),
    shadow=0.65,
    led_mm=(35.0, -5.0),
    background_removed=False,
    misregistration_px=1.0,
    rgb=PhotoSensor(
        target=0.24,
        target_spread=0.3,
        contrast_spread=0.12,
        max_gain=5.0,
        read_noise=0.005,
        shot_noise=0.0012,
        blur_px=0.6,
        native=0.9,
        gamma=1 / 2.2,
        white_balance=0.09,
        jpeg_quality=92,
    ),
    nir=PhotoSensor(
        target=0.3,
        target_spread=0.3,
        contrast_spread=0.32,
        max_gain=3.0,
        read_noise=0.006,
        shot_noise=0.0014,
        blur_px=0.7,
        native=0.8,
        gamma=1 / 2.2,
        white_balance=0.0,
        jpeg_quality=92,
    ),
    depth=DepthSensor(
        kind='tof',
        noise_per_m2_mm=2.6,
        noise_floor_mm=0.5,
        quantum_per_m2_mm=1.2,
        correlation_px=2.0,
        dropout=0.012,
        dark_dropout=0.16,
        shine_dropout=0.25,
        sun_dropout=0.1,
        edge_mm=30.0,
        baseline_mm=26.0,
        range_mm=(200.0, 1500.0),
        encoding='robust',
        near_bright=True,
        window_mm=200.0,
        window_spread=0.6,
    ),
    frames=3,
    live_fraction=(0.22, 0.22, 0.25),
    live_per_subject=2,
    train_attacks=(
        ('print', 0.5),
        ('replay', 0.7),
        ('glasses', 0.8),
        ('fakehead', 0.9),
        ('mask3d', 1.0),
        ('silicone', 1.1),
    ),
    test_attacks=(
        ('print', 1.0),
        ('replay', 0.8),
        ('glasses', 0.34),
        ('fakehead', 0.2),
        ('mask3d', 0.7),
        ('silicone', 0.6),
        ('papermask', 0.71),
    ),
    train_inks=(0.3, 0.4, 0.3),
    test_inks=(0.3, 0.3, 0.4),
    sheet_crop=(0.5, 0.9),
    sheet_curvature=(0.0, 3.0),
    moire=(0.1, 0.8),
    skin_like=(0.0, 0.2),
    polymer_nir=(0.7, 0.9),
)

#: The domains of the newest version.
DOMAINS: dict[str, Domain] = {domain.key: domain for domain in (_C, _P, _S, _W)}

#: Earlier versions: the domains in which they differ from the newest one.
_EARLIER: dict[str, dict[str, Domain]] = {'1.0.0': {'C': replace(_C, sheet_crop=(0.44, 0.68))}}

#: Every version that can be rendered, newest last.
RENDERER_VERSIONS: tuple[str, ...] = (*_EARLIER, RENDERER_VERSION)


def domains_of(version: str) -> dict[str, Domain]:
    """Return the domains of one version of the renderer.

    Args:
        version: One of `RENDERER_VERSIONS`.

    Raises:
        ValueError: For a version that this code cannot render.
    """
    if version not in RENDERER_VERSIONS:
        raise InputError(f'unknown renderer version {version!r}; choose from {", ".join(RENDERER_VERSIONS)}')
    return {**DOMAINS, **_EARLIER.get(version, {})}
