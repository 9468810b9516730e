"""Scenes without a face, as a camera of colour, depth and infrared would deliver them: nothing of it is live.

A model that was trained on faces alone gives everything a score. These scenes show what it says of a wall, a sheet
of paper or a covered lens. They are rendered by the optics and sensors of SynthFAS (its domain P, a camera with
structured light), so that noise, holes and exposure are those of a sensor; `docs/en/synthfas.md` describes the
models. An answer of "not judged" is as good as "spoof".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np

from mmfas.synthfas import DOMAINS
from mmfas.synthfas.materials import material
from mmfas.synthfas.optics.camera import Camera
from mmfas.synthfas.optics.compose import Picture
from mmfas.synthfas.optics.depth_sensor import degrade_depth, encode_depth, hole_probability
from mmfas.synthfas.optics.lighting import draw_light, shade_nir, shade_visible
from mmfas.synthfas.optics.photo_sensor import expose, expose_nir, resample, to_grey_levels
from mmfas.synthfas.shapes import noise_field, unit_clip
from mmfas.utils.errors import InputError, UnknownKeyError

__all__ = ['PROBES', 'SENSOR_SET', 'Probe', 'render_probes']

_DOMAIN = DOMAINS['P']
_SMALLEST, _LARGEST = 16, 4096
#: Distance at which the camera frames a face; what is held to the camera is there.
_FACE_MM = _DOMAIN.distance_mm


@dataclass(frozen=True)
class Probe:
    """A scene without a face, as registered raw pictures.

    Args:
        name: Such as `'wall'`.
        shows: What, in a few words.
        rgb: (S, S, 3) uint8, red first.
        depth: (S, S) uint16 in mm, 0 where the sensor has no reading.
        ir: (S, S) uint8.
    """

    name: str
    shows: str
    rgb: np.ndarray
    depth: np.ndarray
    ir: np.ndarray

    def arrays(self, *, coded_depth: bool = False) -> dict[str, np.ndarray]:
        """Return the pictures by modality, as the loader takes them.

        Args:
            coded_depth: Depth as the 8-bit code of SynthFAS (near is bright, 0 no reading) instead of mm, for
                models that were trained on it and state no range of depth.

        Returns:
            rgb (S, S, 3), depth (S, S) and ir (S, S).
        """
        depth = self.depth
        if coded_depth:
            centre = float(np.median(depth[depth > 0])) if depth.any() else _FACE_MM
            depth = encode_depth(depth.astype(np.float32), _DOMAIN.depth, centre)
        return {'rgb': self.rgb, 'depth': depth, 'ir': self.ir}


class _Scene:
    """What a scene is made with: the rays of the pixels and draws of its own."""

    def __init__(self, size: int, rng: np.random.Generator) -> None:
        self.rng = rng
        self.shape = (size, size)
        self.focal_px = Camera.framing(size, _DOMAIN.crop_mm, _FACE_MM).focal_px
        across, down = Camera(size, self.focal_px).rays()
        self.x, self.y = np.meshgrid(across, down)

    def plane(self, distance_mm: float, slope_x: float = 0.0, slope_y: float = 0.0) -> np.ndarray:
        """Distance (S, S) of a plane that recedes by its slopes to the right and downwards."""
        return (distance_mm / (1.0 - slope_x * self.x - slope_y * self.y)).astype(np.float32)

    def paint(self, *colour: float) -> np.ndarray:
        """Reflectance (S, S, 4) of an even surface with a fine grain."""
        grain = (
            1.0
            + 0.03 * noise_field(self.rng, self.shape, (24, 24))
            + 0.05 * noise_field(self.rng, self.shape, (2, 2))
        )
        return unit_clip(np.array(colour[:4], np.float32) * grain[..., None])

    def normals(self, depth_mm: np.ndarray) -> np.ndarray:
        """Normals (S, S, 3), z towards the camera, of the surface at a distance (S, S)."""
        points = [self.x * depth_mm, self.y * depth_mm, -depth_mm]
        down, right = np.stack([np.gradient(part) for part in points], axis=-1)
        normal = np.cross(down, right)
        normal *= np.sign(normal[..., 2:]) / np.linalg.norm(normal, axis=2, keepdims=True)
        return normal.astype(np.float32)

    def picture(
        self, depth_mm: np.ndarray, colour: np.ndarray, gloss: float = 0.05, fail: float = 0.02
    ) -> Picture:
        """Put a surface together: distance (S, S) and reflectance (S, S, 4)."""
        optics = np.zeros((*self.shape, 3), np.float32)
        optics[..., 0], optics[..., 1] = gloss, fail
        return Picture(depth_mm, self.normals(depth_mm), colour.astype(np.float32), optics)


def _wall(scene: _Scene) -> Picture:
    slope_x, slope_y = scene.rng.uniform(-0.25, 0.25, 2)
    return scene.picture(
        scene.plane(scene.rng.uniform(900, 1300), slope_x, slope_y), scene.paint(0.55, 0.52, 0.46, 0.6)
    )


def _white_sheet(scene: _Scene) -> Picture:
    flat = scene.plane(scene.rng.uniform(0.85, 0.95) * _FACE_MM, *scene.rng.uniform(-0.1, 0.1, 2))
    bent = flat + 0.5e-3 * (scene.x * flat) ** 2
    return scene.picture(bent, scene.paint(*material('paper')))


def _room_corner(scene: _Scene) -> Picture:
    # Two walls that meet behind, and the floor; the nearest plane in front of a ray of the camera is seen.
    corner = np.array([0.05, 0.09, 1.0]) * scene.rng.uniform(2000, 2600)
    rays = np.stack([scene.x, scene.y, np.ones_like(scene.x)], axis=-1)
    turn = scene.rng.uniform(-0.2, 0.2)
    planes = [(np.cos(0.8 + turn), 0.0, -np.sin(0.8 + turn)), (-np.sin(0.8 + turn), 0.0, -np.cos(0.8 + turn))]
    away = np.stack([(corner @ n) / (rays @ np.array(n)) for n in (*planes, (0.0, -0.9, -0.43))])
    away = np.where(away > 0, away, np.inf)
    colours = np.stack(
        [scene.paint(0.6, 0.58, 0.5, 0.6), scene.paint(0.5, 0.5, 0.52, 0.55), scene.paint(0.3, 0.2, 0.13, 0.5)]
    )
    seen = away.argmin(axis=0)
    colour = np.take_along_axis(colours, seen[None, ..., None], axis=0)[0]
    return scene.picture(away.min(axis=0).astype(np.float32), colour)


def _ball(scene: _Scene) -> Picture:
    # As large and as far away as a head.
    radius, centre = 95.0, np.array([*scene.rng.uniform(-15, 15, 2), _FACE_MM])
    rays = np.stack([scene.x, scene.y, np.ones_like(scene.x)], axis=-1)
    along, square = rays @ centre, (rays**2).sum(axis=-1)
    inside = along**2 - square * (centre @ centre - radius**2)
    hit = inside > 0
    front = (along - np.sqrt(np.where(hit, inside, 0.0))) / square
    depth = np.where(hit, front, scene.plane(1250)).astype(np.float32)
    colour = np.where(hit[..., None], scene.paint(*material('resin')), scene.paint(0.25, 0.3, 0.4, 0.5))
    return scene.picture(depth, colour, gloss=0.3)


def _curtain(scene: _Scene) -> Picture:
    depth = scene.plane(scene.rng.uniform(800, 1000))
    folds = np.sin(scene.x * depth / 11.0 + 1.3 * noise_field(scene.rng, scene.shape, (2, 3)))
    colour = scene.paint(0.32, 0.08, 0.09, 0.55) * (1.0 + 0.2 * folds[..., None])
    return scene.picture((depth - 16.0 * folds).astype(np.float32), unit_clip(colour))


def _checkerboard(scene: _Scene) -> Picture:
    depth = scene.plane(_FACE_MM, *scene.rng.uniform(-0.2, 0.2, 2))
    dark = (np.floor(scene.x * depth / 24.0) + np.floor(scene.y * depth / 24.0)) % 2
    # Toner is dark in the infrared too.
    ink = np.array([0.04, 0.04, 0.04, 0.06], np.float32)
    return scene.picture(depth, np.where(dark[..., None] > 0, ink, scene.paint(*material('paper'))))


def _screen(scene: _Scene) -> Picture:
    # A monitor that shows windows of text: emits colour, is dark in the infrared.
    shown = np.full((*scene.shape, 4), (0.1, 0.25, 0.5, 0.05), np.float32)
    size = scene.shape[0]
    for _ in range(4):
        top, left = (scene.rng.uniform(-0.2, 0.7, 2) * size).astype(int)
        height, width = (scene.rng.uniform(0.3, 0.7, 2) * size).astype(int)
        window = shown[max(top, 0) : max(top + height, 1), max(left, 0) : max(left + width, 1), :3]
        window[:] = scene.rng.uniform(0.5, 0.95)
        lines = np.arange(len(window)) % max(size // 24, 2) == 0
        window[lines, : max(int(0.8 * window.shape[1]), 1)] = 0.1
    glass = material('screen_glass')
    picture = scene.picture(
        scene.plane(0.9 * _FACE_MM, *scene.rng.uniform(-0.1, 0.1, 2)), shown, glass[4], glass[5]
    )
    picture.optics[..., 2] = 1.0
    return picture


#: Name -> what it shows, how it is made, and how many times brighter than usual it is exposed.
_SCENES: dict[str, tuple[str, Callable[[_Scene], Picture], float]] = {
    'wall': ('a painted wall at about a metre', _wall, 1.0),
    'white sheet': ('a blank sheet of paper held to the camera', _white_sheet, 2.2),
    'room corner': ('the corner of an empty room', _room_corner, 1.0),
    'ball': ('a plain ball of the size of a head', _ball, 1.0),
    'curtain': ('a curtain with folds', _curtain, 1.0),
    'checkerboard': ('a printed checkerboard', _checkerboard, 1.0),
    'screen': ('a monitor with windows of text', _screen, 1.0),
}
_SIGNALS: dict[str, str] = {
    'black frame': 'a covered lens: read noise, no depth',
    'white frame': 'overexposed to the end, no depth',
    'noise': 'random values in every pixel',
}
#: Name -> what it shows, in the order of rendering.
PROBES: dict[str, str] = {**{name: shows for name, (shows, *_) in _SCENES.items()}, **_SIGNALS}
#: What every sensor delivers sooner or later; the other probes are things in front of it, some with relief.
SENSOR_SET: tuple[str, ...] = ('wall', 'white sheet', 'black frame', 'white frame', 'noise')


def _shoot(scene: _Scene, picture: Picture, exposure: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pass a picture through the three sensors of the domain."""
    rng, domain = scene.rng, _DOMAIN
    light = draw_light(rng, sun_rate=0.0, warmth=domain.warmth, shadow=domain.shadow)
    distance = float(np.median(picture.depth_mm))
    mm_per_px = distance / scene.focal_px
    # Grazing surfaces send little light back.
    facing = np.ascontiguousarray(picture.normal[..., 2]).clip(0.1, 1.0)
    nir, fail = picture.colour[..., 3] * facing, np.ascontiguousarray(picture.optics[..., 1])
    chance = hole_probability(picture.depth_mm, nir, fail, np.zeros_like(nir), domain.depth)
    depth = degrade_depth(picture.depth_mm, nir, chance, domain.depth, rng, focal_px=scene.focal_px)
    radiance = resample(shade_visible(picture, light, mm_per_px), domain.rgb, 0.0)
    rgb = expose(radiance, domain.rgb, rng, target_factor=exposure, cast=np.ones(3))
    lamp = resample(shade_nir(picture, light, led_mm=domain.led_mm, range_mm=_FACE_MM), domain.nir, 0.0)
    ir = expose_nir(lamp, domain.nir, rng, target_factor=exposure)
    return to_grey_levels(rgb), np.rint(depth).clip(0, 65535).astype(np.uint16), to_grey_levels(ir)


def _signal(name: str, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Make the pictures that show no scene at all."""
    if name == 'noise':
        rgb, ir = rng.integers(0, 256, (size, size, 3), np.uint8), rng.integers(0, 256, (size, size), np.uint8)
        return rgb, rng.integers(300, 1500, (size, size), np.uint16), ir
    level = {'black frame': 1.0, 'white frame': 258.0}[name]
    planes = np.rint(level + 1.2 * rng.standard_normal((size, size, 4))).clip(0, 255).astype(np.uint8)
    return np.ascontiguousarray(planes[..., :3]), np.zeros((size, size), np.uint16), planes[..., 3].copy()


def render_probes(size: int, *, seed: int = 0, names: Sequence[str] = tuple(PROBES)) -> Iterator[Probe]:
    """Render scenes without a face.

    Args:
        size: Side of the pictures in pixels, 16 to 4096.
        seed: Of all draws, >= 0; a scene does not depend on which others are rendered.
        names: Some of `PROBES`.

    Yields:
        The probes, in the order of `names`.

    Raises:
        ValueError: If size or seed is out of its range.
        KeyError: If a name is unknown.

    >>> [probe.depth.shape for probe in render_probes(32, names=['wall', 'noise'])]
    [(32, 32), (32, 32)]
    """
    if not _SMALLEST <= size <= _LARGEST:
        raise InputError(f'probes are rendered with a side of {_SMALLEST} to {_LARGEST} pixels, got {size}')
    if seed < 0:
        raise InputError(f'seed must be 0 or more, got {seed}')
    unknown = [name for name in names if name not in PROBES]
    if unknown:
        raise UnknownKeyError(f"there is no probe '{unknown[0]}'; there are {', '.join(PROBES)}")
    for name in names:
        rng = np.random.default_rng([seed, crc32(name.encode())])
        if name in _SCENES:
            scene, (shows, make, exposure) = _Scene(size, rng), _SCENES[name]
            yield Probe(name, shows, *_shoot(scene, make(scene), exposure))
        else:
            yield Probe(name, PROBES[name], *_signal(name, size, rng))
