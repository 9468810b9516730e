"""Random sites: domains whose every number is drawn, to pretrain on and to choose on without C, P, S or W.

A site of the kind `'site'` is pretrained on, without labels; one of the kind `'heldout'` is never pretrained
on and has labelled lists, so that a choice can be made there. Both are drawn from the same wide ranges.
"""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np

from mmfas.synthfas.optics.depth_sensor import DepthSensor
from mmfas.synthfas.optics.photo_sensor import PhotoSensor
from mmfas.synthfas.people.subject import SubjectMix
from mmfas.synthfas.plan.domain import CUTS, Domain, Mix
from mmfas.utils.errors import InputError

__all__ = ['SITES_VERSION', 'SITE_KINDS', 'draw_site', 'is_site', 'site_key', 'site_place']

#: Raised with every change of the ranges below; the manifest carries it.
SITES_VERSION = 1
#: Kind of a site -> first number of its random streams. C, P, S and W have 0 to 3.
SITE_KINDS: dict[str, int] = {'site': 4, 'heldout': 5}
_KEY = re.compile(rf'({"|".join(SITE_KINDS)})([0-9]{{4}})')
#: Last word of the seed of what a site is; the streams of its videos have their own words.
_OF_SITE = 99
#: Instruments a site may be attacked with; prosthetics stay unseen, as a perturbation wants them to be.
_INSTRUMENTS = (
    'print', 'replay', 'partial', 'papermask', 'mask3d', 'silicone', 'glasses', 'fakehead', 'print:cut'
)  # fmt: skip


def site_key(kind: str, number: int) -> str:
    """Return the domain key of a site.

    Args:
        kind: `'site'` or `'heldout'`.
        number: 0 to 9999.

    Raises:
        ValueError: For another kind or number.

    >>> site_key('heldout', 7)
    'heldout0007'
    """
    if kind not in SITE_KINDS or not 0 <= number <= 9999:
        raise InputError(f'a site is one of {", ".join(SITE_KINDS)} with a number in 0..9999, got {kind} {number}')
    return f'{kind}{number:04d}'


def is_site(key: str) -> bool:
    """Tell whether a domain key is that of a random site."""
    return _KEY.fullmatch(key) is not None


def site_place(key: str) -> tuple[int, int]:
    """Return the numbers that begin the random streams of a site, which no domain of the benchmark has.

    Args:
        key: Key of `site_key`.

    Raises:
        ValueError: For the key of no site.
    """
    found = _KEY.fullmatch(key)
    if found is None:
        raise InputError(f'expected the key of a site, such as site0007, got {key!r}')
    return SITE_KINDS[found.group(1)], int(found.group(2))


@lru_cache(maxsize=4096)
def draw_site(seed: int, key: str) -> Domain:
    """Draw a site.

    Args:
        seed: Seed of the folder.
        key: Key of `site_key`.

    Returns:
        The site; same seed and key, same site.

    Raises:
        ValueError: For the key of no site.
    """
    rng = np.random.Generator(np.random.SFC64(np.random.SeedSequence([seed, *site_place(key), _OF_SITE])))
    distance = _between(rng, 380.0, 900.0)
    wall = 1.08 * distance + _between(rng, 80.0, 500.0)
    attacks = _attacks(rng)
    inks = _inks(rng)
    live = _between(rng, 0.2, 0.6)
    return Domain(
        key=key,
        stands_for='nothing real',
        subjects=_subjects(rng),
        distance_mm=distance,
        crop_mm=_between(rng, 188.0, 250.0),
        pose_deg=_between(rng, 3.0, 15.0),
        shift_mm=_between(rng, 2.0, 8.0),
        wall_mm=(wall, wall + _between(rng, 200.0, 1800.0)),
        sun_rate=_between(rng, 0.0, 0.5) if rng.random() < 0.7 else 0.0,
        warmth=(_between(rng, 0.65, 1.0), _between(rng, 1.1, 2.0)),
        shadow=_between(rng, 0.2, 0.75),
        led_mm=(_between(rng, -70.0, 70.0), _between(rng, -30.0, 30.0)),
        background_removed=bool(rng.random() < 0.25),
        misregistration_px=_between(rng, 0.3, 3.0),
        rgb=_colour_camera(rng),
        nir=_nir_camera(rng),
        depth=_depth_sensor(rng, distance),
        frames=1,
        live_fraction=(live, live, live),
        live_per_subject=int(rng.integers(1, 4)),
        train_attacks=attacks,
        test_attacks=attacks,
        train_inks=inks,
        test_inks=inks,
        sheet_crop=_range(rng, (0.38, 0.6), (0.08, 0.4)),
        sheet_curvature=_range(rng, (0.0, 2.0), (0.5, 6.0)),
        moire=_range(rng, (0.05, 0.4), (0.2, 0.7)),
        skin_like=_range(rng, (0.0, 0.1), (0.05, 0.3)),
        polymer_nir=_range(rng, (0.12, 0.7), (0.1, 0.25)),
    )


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a number between two."""
    return float(rng.uniform(low, high))


def _ratio(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a positive number between two, evenly in ratios."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _range(rng: np.random.Generator, low: tuple[float, float], width: tuple[float, float]) -> tuple[float, float]:
    """Draw a range: its lower end, and how wide it is."""
    start = _between(rng, *low)
    return start, start + _between(rng, *width)


def _subjects(rng: np.random.Generator) -> SubjectMix:
    """Draw who lives there."""
    return SubjectMix(
        melanin=(_between(rng, 0.12, 0.88), _between(rng, 0.08, 0.3)),
        age=(_between(rng, 0.0, 0.3), _between(rng, 0.5, 1.0)),
        glasses_rate=_between(rng, 0.02, 0.5),
        beard_rate=_between(rng, 0.02, 0.5),
        long_hair_rate=_between(rng, 0.1, 0.5),
    )


def _inks(rng: np.random.Generator) -> tuple[float, float, float]:
    """Draw the weights of dye, carbon and pigment prints."""
    first, second, third = (float(weight) for weight in rng.dirichlet((2.0, 2.0, 2.0)))
    return first, second, third


def _attacks(rng: np.random.Generator) -> Mix:
    """Draw two to seven instruments and how frequent they are."""
    chosen = rng.choice(len(_INSTRUMENTS), size=int(rng.integers(2, 8)), replace=False)
    names = [_INSTRUMENTS[int(place)] for place in chosen]
    kinds = [str(rng.choice(CUTS)) for _ in names]
    return tuple(
        (f'print:{kind}' if name == 'print:cut' else name, _between(rng, 0.3, 1.0))
        for name, kind in zip(names, kinds)
    )


def _colour_camera(rng: np.random.Generator) -> PhotoSensor:
    """Draw a colour camera."""
    return PhotoSensor(
        target=_between(rng, 0.15, 0.38),
        target_spread=_between(rng, 0.15, 0.5),
        contrast_spread=_between(rng, 0.08, 0.45),
        max_gain=_ratio(rng, 2.0, 8.0),
        read_noise=_ratio(rng, 0.002, 0.014),
        shot_noise=_ratio(rng, 0.0004, 0.004),
        blur_px=_between(rng, 0.3, 1.4),
        native=_between(rng, 0.45, 1.0),
        gamma=1.0 / _between(rng, 1.7, 2.5),
        white_balance=_between(rng, 0.01, 0.12),
        jpeg_quality=int(rng.integers(74, 98)),
    )


def _nir_camera(rng: np.random.Generator) -> PhotoSensor:
    """Draw a NIR camera."""
    return PhotoSensor(
        target=_between(rng, 0.16, 0.42),
        target_spread=_between(rng, 0.15, 0.6),
        contrast_spread=_between(rng, 0.1, 0.6),
        max_gain=_ratio(rng, 1.5, 5.0),
        read_noise=_ratio(rng, 0.002, 0.016),
        shot_noise=_ratio(rng, 0.0004, 0.005),
        blur_px=_between(rng, 0.3, 1.6),
        native=_between(rng, 0.4, 1.0),
        gamma=1.0 / _between(rng, 1.0, 2.4),
        white_balance=0.0,
        jpeg_quality=int(rng.integers(74, 98)),
    )


def _depth_sensor(rng: np.random.Generator, distance: float) -> DepthSensor:
    """Draw a depth sensor for faces at a distance."""
    kind = str(rng.choice(('triangulation', 'triangulation', 'tof')))
    return DepthSensor(
        kind=kind,
        noise_per_m2_mm=_ratio(rng, 1.2, 8.0),
        noise_floor_mm=_between(rng, 0.2, 1.5),
        quantum_per_m2_mm=_between(rng, 0.3, 6.0) if rng.random() < 0.7 else 0.0,
        correlation_px=_between(rng, 1.2, 6.0),
        dropout=_ratio(rng, 0.004, 0.06),
        dark_dropout=_between(rng, 0.04, 0.3),
        shine_dropout=_between(rng, 0.08, 0.4),
        sun_dropout=_between(rng, 0.03, 0.25),
        edge_mm=_between(rng, 18.0, 70.0),
        baseline_mm=_between(rng, 15.0, 75.0),
        range_mm=(_between(rng, 150.0, 300.0), 1.1 * distance + _between(rng, 250.0, 2500.0)),
        encoding=str(rng.choice(('window', 'robust', 'inverse'))),
        near_bright=bool(rng.random() < 0.75),
        window_mm=_between(rng, 160.0, 520.0),
        window_spread=_between(rng, 0.2, 1.0),
    )
