"""Perturbations: change one cause of difficulty at a time, with a strength from 0 (nothing) to 1.

At 1 the picture that a perturbation spoils shows next to nothing of a face. What sensors count in ratios (gain,
light, noise) moves in equal ratios: a quarter of the strength is always the same number of stops.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace

from mmfas.synthfas.optics.depth_sensor import DepthSensor
from mmfas.utils.errors import InputError

__all__ = ['PERTURBATIONS', 'PERTURBATIONS_VERSION', 'Stress', 'parse_stress', 'stressed_depth']

#: Raised when a perturbation comes to mean something else; clean data do not depend on it. Version 1 moved
#: `depth_noise` (to 16 times) and `ir_overexposure` (to 9 times) in differences, ended `blur` at 4 %, had no
#: `dark_ir`, and its `subject_tone` changed hair and eyes too.
PERTURBATIONS_VERSION = 2


@dataclass(frozen=True)
class Stress:
    """Strengths of the perturbations; with all at 0 the data are clean, byte for byte.

    Args:
        depth_noise: Range noise, up to 64 times (six doublings).
        depth_dropout: Additional holes, up to 85 % of the surface.
        ir_overexposure: NIR gain, up to 4 times (two stops), plus a haze.
        misregistration: Shift of depth and NIR against RGB, up to 12 % of the width, in a direction per video.
        dark_rgb: Visible light, down to 1 %, with the domain's limited gain.
        dark_ir: Light of the NIR lamps, down to 1 %, with the domain's limited gain.
        blur: Defocus of RGB and NIR, up to 12 % of the width.
        unseen_pai: Fraction of attack videos whose instrument is in none of the train lists (thin prosthetics).
        subject_tone: Moves every subject's skin, and nothing else, towards the darkest.
    """

    depth_noise: float = 0.0
    depth_dropout: float = 0.0
    ir_overexposure: float = 0.0
    misregistration: float = 0.0
    dark_rgb: float = 0.0
    dark_ir: float = 0.0
    blur: float = 0.0
    unseen_pai: float = 0.0
    subject_tone: float = 0.0

    def __post_init__(self) -> None:
        """Check the range of every strength.

        Raises:
            ValueError: If a strength is outside 0..1.
        """
        for name, value in asdict(self).items():
            if not 0.0 <= value <= 1.0:
                raise InputError(f'perturbation {name} must lie in 0..1 (0 = clean, 1 = worst), got {value!r}')

    def as_dict(self) -> dict[str, float]:
        """Return the strengths that are not 0."""
        return {name: value for name, value in asdict(self).items() if value}


PERTURBATIONS: tuple[str, ...] = tuple(field.name for field in fields(Stress))


def parse_stress(settings: list[str]) -> Stress:
    """Read perturbations from the command line.

    Args:
        settings: Words such as `'depth_noise=0.5'`.

    Returns:
        The perturbations.

    Raises:
        ValueError: For an unknown or repeated name, a missing `=` or a value that is not a number in 0..1.

    >>> parse_stress(['blur=0.25']).blur
    0.25
    """
    values: dict[str, float] = {}
    for setting in settings:
        name, equals, text = setting.partition('=')
        if name not in PERTURBATIONS:
            raise InputError(f'unknown perturbation {name!r}; choose from {", ".join(PERTURBATIONS)}')
        if name in values:
            raise InputError(f'perturbation {name} is there twice; give it once')
        try:
            values[name] = float(text)
        except ValueError:
            raise InputError(f'perturbation {name} needs a number, as in {name}=0.5; got {setting!r}') from None
    return Stress(**values)


def stressed_depth(sensor: DepthSensor, stress: Stress) -> DepthSensor:
    """Apply the perturbations of depth to a sensor; returns the very same record when both are 0."""
    if not (stress.depth_noise or stress.depth_dropout):
        return sensor
    factor = 64.0**stress.depth_noise
    return replace(
        sensor,
        noise_per_m2_mm=sensor.noise_per_m2_mm * factor,
        noise_floor_mm=sensor.noise_floor_mm * factor,
        dropout=sensor.dropout + 0.85 * stress.depth_dropout,
    )
