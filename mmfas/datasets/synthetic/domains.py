"""The four domains of SynthFAS: one frozen record each, with every number that makes it different.

Calibrating the bench means editing numbers here and raising ``RENDERER_VERSION``; nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

from .depth_sensor import DepthSensor
from .photo_sensor import PhotoSensor
from .subject import SubjectMix

__all__ = ['DOMAINS', 'RENDERER_VERSION', 'SPLITS', 'Domain']

#: Raise with every change that alters a pixel or a list; the manifest carries it.
RENDERER_VERSION = '0.1.0'
SPLITS: tuple[str, ...] = ('train', 'val', 'test')

#: (instrument, weight) or (instrument:variant, weight).
Mix = tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Domain:
    """One domain: who, where, with what cameras, attacked how.

    Attributes:
        key: 'C', 'P', 'S' or 'W'.
        stands_for: the real data set.
        subjects: population.
        distance_mm: origin of the head to the camera.
        crop_mm: width of the crop on the face; smaller => tighter crop.
        pose_deg: standard deviation of yaw.
        shift_mm: standard deviation of the framing.
        wall_mm: (low, high) distance of the background.
        sun_rate: share of videos with sunlight.
        warmth: (low, high) red over blue of the lamp.
        shadow: depth of cast shadows 0..1.
        led_mm: (x, y) offset of the NIR lamp from the lens.
        background_removed: whether everything outside a face oval is black.
        misregistration_px: standard deviation of the shift between the cameras, at 224 pixels.
        rgb, nir: cameras.
        depth: depth sensor.
        frames: frames per video.
        live_share: share of live frames in (train, val, test).
        live_per_subject: live videos per subject.
        train_attacks, test_attacks: instruments of train and val, and of test.
        train_inks, test_inks: weights of dye, carbon and pigment prints.
        sheet_crop: (low, high) share of the photo on a sheet or screen; small => no edge is seen.
        sheet_curvature: (low, high) inverse bending radius of bent sheets per metre.
        moire: (low, high) contrast of the beat of screens.
        skin_like: (low, high) NIR likeness of silicone to skin.
    """

    key: str
    stands_for: str
    subjects: SubjectMix
    distance_mm: float
    crop_mm: float
    pose_deg: float
    shift_mm: float
    wall_mm: tuple[float, float]
    sun_rate: float
    warmth: tuple[float, float]
    shadow: float
    led_mm: tuple[float, float]
    background_removed: bool
    misregistration_px: float
    rgb: PhotoSensor
    nir: PhotoSensor
    depth: DepthSensor
    frames: int
    live_share: tuple[float, float, float]
    live_per_subject: int
    train_attacks: Mix
    test_attacks: Mix
    train_inks: tuple[float, float, float]
    test_inks: tuple[float, float, float]
    sheet_crop: tuple[float, float]
    sheet_curvature: tuple[float, float]
    moire: tuple[float, float]
    skin_like: tuple[float, float]


_C = Domain(
    key='C',
    stands_for='CASIA-CeFA',
    subjects=SubjectMix((0.62, 0.24), (0.05, 0.6), 0.15, 0.25, 0.30),
    distance_mm=720.0,
    crop_mm=250.0,
    pose_deg=9.0,
    shift_mm=6.0,
    wall_mm=(950.0, 2200.0),
    sun_rate=0.35,
    warmth=(0.8, 1.7),
    shadow=0.55,
    led_mm=(25.0, 0.0),
    background_removed=False,
    misregistration_px=2.0,
    rgb=PhotoSensor(0.22, 0.22, 4.0, 0.006, 0.0016, 0.7, 0.85, 1 / 2.2, 0.07, 88),
    nir=PhotoSensor(0.26, 0.25, 3.0, 0.008, 0.0020, 0.9, 0.6, 1 / 2.0, 0.0, 88),
    depth=DepthSensor(
        'triangulation',
        2.2,
        0.5,
        1.8,
        2.6,
        0.004,
        0.45,
        0.28,
        0.30,
        34.0,
        50.0,
        (250.0, 1600.0),
        'window',
        True,
        330.0,
    ),
    frames=3,
    live_share=(0.25, 0.25, 0.25),
    live_per_subject=1,
    train_attacks=(('print:indoor', 1.0), ('print:outdoor', 1.0), ('replay', 1.0)),
    test_attacks=(
        ('print:indoor', 0.8),
        ('print:outdoor', 0.8),
        ('replay', 0.8),
        ('mask3d', 1.0),
        ('silicone', 0.25),
    ),
    train_inks=(0.5, 0.3, 0.2),
    test_inks=(0.4, 0.3, 0.3),
    sheet_crop=(0.62, 1.0),
    sheet_curvature=(0.0, 3.0),
    moire=(0.2, 1.0),
    skin_like=(0.3, 0.9),
)

_P = Domain(
    key='P',
    stands_for='PADISI-USC',
    subjects=SubjectMix((0.38, 0.28), (0.05, 0.85), 0.30, 0.25, 0.32),
    distance_mm=620.0,
    crop_mm=225.0,
    pose_deg=5.0,
    shift_mm=4.0,
    wall_mm=(900.0, 1500.0),
    sun_rate=0.0,
    warmth=(0.95, 1.25),
    shadow=0.30,
    led_mm=(-60.0, -20.0),
    background_removed=False,
    misregistration_px=1.2,
    rgb=PhotoSensor(0.30, 0.18, 6.0, 0.004, 0.0008, 0.5, 1.0, 1 / 2.2, 0.03, 95),
    nir=PhotoSensor(0.36, 0.18, 4.0, 0.004, 0.0008, 0.5, 1.0, 1.0, 0.0, 95),
    depth=DepthSensor(
        'triangulation',
        4.2,
        0.8,
        0.0,
        5.0,
        0.010,
        0.20,
        0.22,
        0.30,
        55.0,
        55.0,
        (280.0, 3000.0),
        'inverse',
        True,
        420.0,
    ),
    frames=1,
    live_share=(0.55, 0.55, 0.545),
    live_per_subject=3,
    train_attacks=(
        ('print', 0.8),
        ('replay', 0.8),
        ('partial', 0.9),
        ('glasses', 0.9),
        ('mask3d', 0.5),
        ('silicone', 0.4),
        ('fakehead', 0.4),
    ),
    test_attacks=(
        ('print', 0.7),
        ('replay', 0.7),
        ('partial', 1.0),
        ('glasses', 1.0),
        ('mask3d', 0.5),
        ('silicone', 0.6),
        ('fakehead', 0.5),
    ),
    train_inks=(0.3, 0.5, 0.2),
    test_inks=(0.3, 0.4, 0.3),
    sheet_crop=(0.6, 0.95),
    sheet_curvature=(0.0, 2.0),
    moire=(0.1, 0.6),
    skin_like=(0.4, 0.95),
)

_S = Domain(
    key='S',
    stands_for='CASIA-SURF',
    subjects=SubjectMix((0.28, 0.10), (0.05, 0.8), 0.20, 0.08, 0.35),
    distance_mm=520.0,
    crop_mm=200.0,
    pose_deg=13.0,
    shift_mm=6.0,
    wall_mm=(800.0, 1600.0),
    sun_rate=0.10,
    warmth=(0.85, 1.4),
    shadow=0.45,
    led_mm=(30.0, 10.0),
    background_removed=True,
    misregistration_px=1.5,
    rgb=PhotoSensor(0.20, 0.25, 4.0, 0.008, 0.0024, 0.9, 0.6, 1 / 2.2, 0.06, 80),
    nir=PhotoSensor(0.22, 0.28, 3.0, 0.010, 0.0030, 1.0, 0.5, 1 / 1.6, 0.0, 80),
    depth=DepthSensor(
        'triangulation',
        3.2,
        0.5,
        4.0,
        2.0,
        0.010,
        0.55,
        0.40,
        0.40,
        26.0,
        26.0,
        (200.0, 1200.0),
        'window',
        False,
        260.0,
    ),
    frames=3,
    live_share=(0.15, 0.15, 0.25),
    live_per_subject=1,
    train_attacks=(
        ('print:e_s', 1.0),
        ('print:e_b', 1.0),
        ('partial:en_s', 1.0),
        ('partial:en_b', 1.0),
        ('partial:enm_s', 1.0),
        ('partial:enm_b', 1.0),
    ),
    test_attacks=(
        ('print:e_s', 1.0),
        ('print:e_b', 1.0),
        ('partial:en_s', 1.0),
        ('partial:en_b', 1.0),
        ('partial:enm_s', 1.0),
        ('partial:enm_b', 1.0),
    ),
    train_inks=(0.6, 0.3, 0.1),
    test_inks=(0.4, 0.3, 0.3),
    sheet_crop=(0.6, 0.9),
    sheet_curvature=(2.0, 7.5),
    moire=(0.2, 0.8),
    skin_like=(0.4, 0.9),
)

_W = Domain(
    key='W',
    stands_for='WMCA',
    subjects=SubjectMix((0.30, 0.20), (0.1, 1.0), 0.28, 0.30, 0.28),
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
    rgb=PhotoSensor(0.24, 0.30, 5.0, 0.005, 0.0012, 0.6, 0.9, 1 / 2.2, 0.09, 92),
    nir=PhotoSensor(0.30, 0.30, 3.0, 0.006, 0.0014, 0.7, 0.8, 1 / 2.2, 0.0, 92),
    depth=DepthSensor(
        'tof',
        2.6,
        0.5,
        1.2,
        2.0,
        0.006,
        0.50,
        0.35,
        0.25,
        30.0,
        26.0,
        (200.0, 1500.0),
        'robust',
        False,
        200.0,
    ),
    frames=3,
    live_share=(0.22, 0.22, 0.25),
    live_per_subject=2,
    train_attacks=(
        ('print', 0.9),
        ('replay', 1.3),
        ('glasses', 0.41),
        ('fakehead', 0.45),
        ('mask3d', 0.7),
        ('silicone', 0.65),
    ),
    test_attacks=(
        ('print', 0.84),
        ('replay', 0.62),
        ('glasses', 0.34),
        ('fakehead', 0.5),
        ('mask3d', 0.7),
        ('silicone', 0.7),
        ('papermask', 0.71),
    ),
    train_inks=(0.3, 0.4, 0.3),
    test_inks=(0.3, 0.3, 0.4),
    sheet_crop=(0.62, 1.0),
    sheet_curvature=(0.0, 3.0),
    moire=(0.1, 0.8),
    skin_like=(0.3, 0.9),
)

DOMAINS: dict[str, Domain] = {domain.key: domain for domain in (_C, _P, _S, _W)}
