"""The record of a domain: everything that makes one stand-in data set different from another."""

from __future__ import annotations

from dataclasses import dataclass

from mmfas.synthfas.optics.depth_sensor import DepthSensor
from mmfas.synthfas.optics.photo_sensor import PhotoSensor
from mmfas.synthfas.people.subject import SubjectMix

__all__ = ['SPLITS', 'Domain', 'Mix']

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
        polymer_nir: (low, high) NIR reflectance of resin, silicone and plastic: pigments make it dark or bright.
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
    polymer_nir: tuple[float, float]
