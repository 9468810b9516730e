"""The record of a domain: everything that makes one stand-in data set different from another."""

from __future__ import annotations

from dataclasses import dataclass

from mmfas.synthfas.optics.depth_sensor import DepthSensor
from mmfas.synthfas.optics.photo_sensor import PhotoSensor
from mmfas.synthfas.people.subject import SubjectMix

__all__ = ['CUTS', 'LISTS', 'SITE', 'SPLITS', 'Domain', 'Mix']

SPLITS: tuple[str, ...] = ('train', 'val', 'test')
#: List of live videos alone, of people that no split has: what an installer records where a system will work.
SITE = 'site'
#: Everything that can be rendered; the place of a name decides its random streams, so new ones come last.
LISTS: tuple[str, ...] = (*SPLITS, SITE)

#: Variants of a print with cut-outs (eyes, nose, mouth), flat or bent, held before a face.
CUTS: tuple[str, ...] = ('e_s', 'e_b', 'en_s', 'en_b', 'enm_s', 'enm_b')

#: (instrument, weight) or (instrument:variant, weight).
Mix = tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Domain:
    """One domain: who, where, with what cameras, attacked how.

    Args:
        key: 'C', 'P', 'S' or 'W'; or a random site, see `mmfas.synthfas.plan.sites`.
        stands_for: The real data set.
        subjects: Population.
        distance_mm: Origin of the head to the camera.
        crop_mm: Width of the crop on the face; smaller means tighter crop.
        pose_deg: Standard deviation of yaw.
        shift_mm: Standard deviation of the framing.
        wall_mm: (low, high) distance of the background.
        sun_rate: Fraction of videos with sunlight.
        warmth: (low, high) red over blue of the lamp.
        shadow: Depth of cast shadows 0..1.
        led_mm: (x, y) offset of the NIR lamp from the lens.
        background_removed: Whether everything outside a face oval is black.
        misregistration_px: Standard deviation of the shift between the cameras, at 224 pixels.
        rgb, nir: Cameras.
        depth: Depth sensor.
        frames: Frames per video.
        live_fraction: Fraction of live frames in (train, val, test).
        live_per_subject: Live videos per subject.
        train_attacks, test_attacks: Instruments of train and val, and of test.
        train_inks, test_inks: Weights of dye, carbon and pigment prints.
        sheet_crop: (low, high) fraction of the photo on a sheet or screen; with a small one no edge is seen.
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
    live_fraction: tuple[float, float, float]
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
