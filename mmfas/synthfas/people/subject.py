"""Draw subjects and their frame-to-frame motion from an explicit generator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmfas.synthfas.records import Expression, Pose, Subject

__all__ = ['SubjectMix', 'draw_expression', 'draw_pose', 'draw_subject', 'jitter_pose']

#: Linear reflectance of hair (R, G, B) from black to grey; NIR is set by melanin content in `hair_nir`.
HAIR_COLOURS: tuple[tuple[float, float, float], ...] = (
    (0.012, 0.010, 0.009),
    (0.035, 0.022, 0.014),
    (0.090, 0.050, 0.028),
    (0.230, 0.140, 0.065),
    (0.260, 0.250, 0.240),
)
IRIS_COLOURS: tuple[tuple[float, float, float], ...] = (
    (0.035, 0.018, 0.010),
    (0.080, 0.045, 0.020),
    (0.075, 0.085, 0.040),
    (0.090, 0.140, 0.200),
)
HAIR_STYLES: tuple[str, ...] = ('short', 'buzz', 'fringe', 'long', 'bald', 'side')


@dataclass(frozen=True)
class SubjectMix:
    """The people in front of a domain's camera; rates in 0..1.

    `melanin` is the (mean, standard deviation) of the skin-tone parameter, `age` the (low, high) range.
    """

    melanin: tuple[float, float]
    age: tuple[float, float]
    glasses_rate: float
    beard_rate: float
    long_hair_rate: float


def _normal(rng: np.random.Generator, mean: float, spread: float) -> float:
    """Draw one normal number cut at two standard deviations."""
    return mean + spread * min(max(rng.standard_normal(), -2.0), 2.0)


def _head_shape(rng: np.random.Generator) -> dict[str, float]:
    """Draw the lengths of one head (adult means and spreads as in anthropometric tables, rounded)."""
    return dict(
        half_width_mm=_normal(rng, 71.0, 3.5),
        crown_mm=_normal(rng, 112.0, 5.0),
        chin_mm=_normal(rng, 104.0, 5.0),
        jaw_power=_normal(rng, 2.5, 0.4),
        depth_mm=_normal(rng, 88.0, 5.0),
        brow_mm=_normal(rng, 4.5, 1.6),
        eye_dx_mm=_normal(rng, 31.5, 1.6),
        eye_width_mm=_normal(rng, 14.0, 1.0),
        eye_open_mm=_normal(rng, 5.4, 0.8),
        nose_length_mm=_normal(rng, 40.0, 3.5),
        nose_height_mm=_normal(rng, 20.0, 3.5),
        nose_width_mm=_normal(rng, 14.5, 1.8),
        mouth_width_mm=_normal(rng, 25.0, 2.4),
        lip_mm=_normal(rng, 5.4, 1.2),
        cheek_mm=_normal(rng, 4.0, 1.6),
    )


def _appearance(rng: np.random.Generator, mix: SubjectMix, darker: float) -> dict[str, object]:
    """Draw colours and accessories of one head."""
    melanin = float(np.clip(_normal(rng, *mix.melanin), 0.02, 1.0))
    age = float(rng.uniform(*mix.age))
    grey = rng.random() < 0.8 * max(age - 0.45, 0.0) * 2
    light_hair = int(rng.choice(4, p=(0.25, 0.3, 0.25, 0.2)))
    hair = 4 if grey else light_hair if melanin < 0.4 else min(light_hair, int(rng.integers(0, 2)))
    style = str(rng.choice(HAIR_STYLES, p=(0.34, 0.16, 0.18, 0.0, 0.10, 0.22)))
    long_hair = rng.random() < mix.long_hair_rate
    has_beard = rng.random() < mix.beard_rate and not long_hair
    iris = int(rng.choice(4, p=(0.2, 0.35, 0.2, 0.25))) if melanin < 0.35 else int(rng.integers(0, 2))
    glasses = str(rng.choice(('round', 'square'))) if rng.random() < mix.glasses_rate else 'none'
    return dict(
        melanin=melanin + darker * (1.0 - melanin),  # hair and eyes above follow the tone before the perturbation
        redness=float(rng.uniform(0.2, 0.9)),
        age=age,
        iris_rgb=IRIS_COLOURS[iris],
        hair_rgb=tuple(float(v * rng.uniform(0.8, 1.25)) for v in HAIR_COLOURS[hair]),
        hair_style='long' if long_hair else style,
        hair_mm=float(rng.uniform(9.0, 24.0)),
        hairline_mm=_normal(rng, -70.0 - 8.0 * age, 5.0),
        beard=float(rng.uniform(0.25, 0.95)) if has_beard else float(rng.uniform(0.0, 0.12)),
        moustache=float(rng.uniform(0.3, 0.95)) if has_beard else 0.0,
        brow_density=float(rng.uniform(0.55, 0.95)),
        glasses=glasses,
        makeup=float(rng.uniform(0.3, 1.0)) if long_hair and rng.random() < 0.6 else 0.0,
        cloth_rgb=tuple(float(v) for v in rng.uniform(0.03, 0.7, 3)),
        cloth_stripes=float(rng.random() < 0.3),
    )


def draw_subject(rng: np.random.Generator, mix: SubjectMix, key: str, *, darker: float = 0.0) -> Subject:
    """Draw one person.

    Args:
        rng: Source of the draws.
        mix: Population of the domain.
        key: Name of the subject, unique in a data set.
        darker: 0..1, moves the skin tone of all subjects towards the darkest (perturbation
            `subject_tone`).

    Returns:
        The subject; same generator state and arguments, same subject.
    """
    shape = _head_shape(rng)
    appearance = _appearance(rng, mix, darker)
    # mypy takes every value of the two tables for every field
    return Subject(key=key, texture_seed=int(rng.integers(2**31)), **shape, **appearance)  # type: ignore[arg-type]


def draw_expression(rng: np.random.Generator) -> Expression:
    """Draw the face of one frame: mostly open eyes and a closed mouth."""
    blink = float(np.clip(rng.normal(0.05, 0.12), 0.0, 0.9))
    mouth = float(np.clip(rng.normal(0.0, 0.16), 0.0, 0.8))
    gaze = rng.normal(0.0, 1.3, 2)
    return Expression(blink, mouth, float(rng.uniform(-0.4, 0.9)), (float(gaze[0]), float(0.6 * gaze[1])))


def draw_pose(rng: np.random.Generator, spread_deg: float, distance_mm: float, shift_mm: float) -> Pose:
    """Draw the mean pose of a video.

    Args:
        rng: Source of the draws.
        spread_deg: Standard deviation of yaw; pitch has 0.55, roll 0.35 of it.
        distance_mm: Distance of the origin of the head to the camera.
        shift_mm: Standard deviation of the framing error.

    Returns:
        A pose with yaw within 24 degrees, where the ray search of `camera` is reliable.
    """
    yaw, pitch, roll = np.clip(rng.standard_normal(3), -2, 2) * spread_deg * np.array((1.0, 0.55, 0.35))
    shift = np.clip(rng.standard_normal(2), -2, 2) * shift_mm
    distance = distance_mm * float(rng.uniform(0.93, 1.07))
    return Pose(
        float(np.clip(yaw, -24, 24)), float(pitch), float(roll), float(shift[0]), float(shift[1]), distance
    )


def jitter_pose(rng: np.random.Generator, pose: Pose, scale: float) -> Pose:
    """Move a pose by a small frame-to-frame motion: `scale` 1 is about 2 degrees and 2 mm."""
    step = np.clip(rng.standard_normal(6), -2, 2) * scale * np.array((2.2, 1.6, 1.0, 2.0, 2.0, 4.0))
    yaw = float(np.clip(pose.yaw_deg + step[0], -25, 25))
    return Pose(
        yaw,
        pose.pitch_deg + float(step[1]),
        pose.roll_deg + float(step[2]),
        pose.x_mm + float(step[3]),
        pose.y_mm + float(step[4]),
        pose.z_mm + float(step[5]),
    )
