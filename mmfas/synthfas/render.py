"""Render the frames of one planned video: scene, cameras, perturbations, 8-bit pictures."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from mmfas.synthfas.optics.camera import Camera, View, project
from mmfas.synthfas.optics.compose import Picture, compose
from mmfas.synthfas.optics.depth_sensor import degrade_depth, encode_depth, hole_probability
from mmfas.synthfas.optics.lighting import shade_nir, shade_visible
from mmfas.synthfas.optics.photo_sensor import expose, expose_nir, resample, to_grey_levels
from mmfas.synthfas.people.subject import jitter_pose
from mmfas.synthfas.plan.domain import Domain
from mmfas.synthfas.plan.plan import SIZES, Setting, VideoPlan, generator, subject_of
from mmfas.synthfas.plan.stress import stressed_depth
from mmfas.synthfas.records import Pose
from mmfas.synthfas.scene import Scene, build_scene
from mmfas.synthfas.shapes import soft_step, unit_clip

__all__ = ['Frame', 'render_video']


@dataclass(frozen=True)
class Frame:
    """One frame in all modalities.

    Args:
        rgb: (S, S, 3) uint8 in R, G, B order.
        depth: (S, S) uint8, the distance as the data set of the domain codes it; 0 where there is no reading.
        ir: (S, S) uint8.
        depth_mm: (S, S) uint16, the same readings in mm, as a camera would deliver them.
    """

    rgb: np.ndarray
    depth: np.ndarray
    ir: np.ndarray
    depth_mm: np.ndarray


@dataclass(frozen=True)
class _VideoStyle:
    """What is drawn once per video, whatever the scene.

    `contrast` holds factors for RGB and NIR; `depth_range` is (factor on the window, shift of its centre in
    mm, factor on the rate of holes); `shift` is the (x, y) displacement of depth and NIR in widths.
    """

    crop_mm: float
    rgb_factor: float
    nir_factor: float
    cast: np.ndarray
    contrast: np.ndarray
    depth_range: np.ndarray
    shift: np.ndarray
    oval: np.ndarray


def _draw_style(
    rng: np.random.Generator, domain: Domain, misregistration: float, shift_rng: np.random.Generator
) -> _VideoStyle:
    """Draw framing, exposure and registration of a video; nothing here depends on the label."""
    crop = domain.crop_mm * float(rng.uniform(0.92, 1.10))
    factors = np.exp(np.clip(rng.standard_normal(2), -2, 2) * (domain.rgb.target_spread, domain.nir.target_spread))
    cast = np.exp(rng.standard_normal(3) * domain.rgb.white_balance)
    contrast = np.exp(rng.standard_normal(2) * (domain.rgb.contrast_spread, domain.nir.contrast_spread))
    window = float(np.exp(np.clip(rng.standard_normal(), -2, 2) * domain.depth.window_spread))
    depth_range = np.array((window, rng.uniform(-0.26, 0.26) * domain.depth.window_mm, rng.uniform(0.0, 2.0) ** 2))
    shift = np.clip(rng.standard_normal(2), -2, 2) * domain.misregistration_px / 224.0
    angle = shift_rng.uniform(0, 2 * np.pi)
    shift = shift + 0.12 * misregistration * np.array((np.cos(angle), np.sin(angle)))
    return _VideoStyle(
        crop, float(factors[0]), float(factors[1]), cast, contrast, depth_range, shift, rng.uniform(-1, 1, 4)
    )


def _still_views(scene: Scene, camera: Camera) -> list[View]:
    """Project what does not move during a video: neck and shoulders."""
    if scene.body is None:
        return []
    place = scene.head_pose
    return [project(camera, scene.body, Pose(x_mm=place.x_mm, y_mm=place.y_mm, z_mm=place.z_mm))]


def _frame_views(scene: Scene, still: list[View], camera: Camera, rng: np.random.Generator) -> Picture:
    """Move head and medium by one frame's motion and put everything together."""
    views = list(still)
    head_pose = jitter_pose(rng, scene.head_pose, 0.6)
    medium_pose = jitter_pose(rng, scene.medium_pose, 0.6)
    if scene.head is not None:
        views.append(project(camera, scene.head, head_pose))
    if scene.medium is not None:
        views.append(project(camera, scene.medium, medium_pose))
    return compose(scene.wall, views, camera.size)


def _oval(size: int, draws: np.ndarray) -> np.ndarray:
    """Coverage (size, size) of the face oval that a cropped data set keeps; (4,) draws move it."""
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size - 0.5
    x = (axis - 0.03 * draws[0]) / (0.35 + 0.03 * draws[2])
    y = (axis - 0.03 * draws[1]) / (0.45 + 0.03 * draws[3])
    return soft_step(1.0 - np.sqrt((x**2)[None, :] + (y**2)[:, None]), 0.02)


def _contrast(image: np.ndarray, factor: float) -> np.ndarray:
    """Stretch a 0..1 picture around middle grey."""
    return unit_clip(np.float32(0.45 * (1.0 - factor)) + np.float32(factor) * image)


def _shifted(image: np.ndarray, shift: np.ndarray, interpolation: int) -> np.ndarray:
    """Move a picture by a fraction of its width, repeating the border."""
    size = image.shape[1]
    matrix = np.array([[1, 0, shift[0] * size], [0, 1, shift[1] * size]], np.float32)
    return cv2.warpAffine(image, matrix, (size, size), flags=interpolation, borderMode=cv2.BORDER_REPLICATE)


def _shoot(
    picture: Picture, scene: Scene, domain: Domain, style: _VideoStyle, setting: Setting, rng: np.random.Generator
) -> Frame:
    """Pass one picture through the three sensors."""
    size, stress = SIZES[setting.size].pixels, setting.stress
    side = picture.depth_mm.shape[0]
    mm_per_px = style.crop_mm / side
    rgb = shade_visible(picture, scene.light, mm_per_px)
    nir = shade_nir(picture, scene.light, led_mm=domain.led_mm, range_mm=scene.target_mm)
    stride = side // size
    if stride > 1:
        rgb = cv2.resize(rgb, (size, size), interpolation=cv2.INTER_AREA)
        nir = cv2.resize(nir, (size, size), interpolation=cv2.INTER_AREA)
    blur = 0.12 * stress.blur
    colour = expose(
        resample(rgb, domain.rgb, blur),
        domain.rgb,
        rng,
        target_factor=style.rgb_factor,
        cast=style.cast,
        light_level=0.01**stress.dark_rgb,
    )
    grey = expose_nir(
        resample(nir, domain.nir, blur),
        domain.nir,
        rng,
        target_factor=style.nir_factor,
        light_level=0.01**stress.dark_ir,
        overexposure=stress.ir_overexposure,
    )
    colour, grey = _contrast(colour, style.contrast[0]), _contrast(grey, style.contrast[1])
    depth = _measure_depth(picture, scene, domain, setting, rng, stride, float(style.depth_range[2]))
    grey = _shifted(grey, style.shift, cv2.INTER_LINEAR)
    depth = _shifted(depth, style.shift, cv2.INTER_NEAREST)
    coder = replace(domain.depth, window_mm=domain.depth.window_mm * float(style.depth_range[0]))
    code = encode_depth(depth, coder, scene.target_mm + 40.0 + float(style.depth_range[1]))
    if domain.background_removed:
        oval = _oval(size, style.oval)
        colour, grey, code = colour * oval[..., None], grey * oval, (code * (oval > 0.5)).astype(np.uint8)
    # Where the background is removed, its readings are too.
    depth_mm = (np.rint(depth) * (code > 0)).astype(np.uint16)
    return Frame(to_grey_levels(colour), code, to_grey_levels(grey), depth_mm)


def _measure_depth(
    picture: Picture,
    scene: Scene,
    domain: Domain,
    setting: Setting,
    rng: np.random.Generator,
    stride: int,
    hole_factor: float,
) -> np.ndarray:
    """Measure the depth of every `stride`-th pixel of a picture: (S, S) mm, 0 = hole."""
    # The perturbation comes last, so that it adds the same rate of holes to all videos.
    sensor = stressed_depth(replace(domain.depth, dropout=domain.depth.dropout * hole_factor), setting.stress)
    pick = slice(stride // 2, None, stride)
    ideal = np.ascontiguousarray(picture.depth_mm[pick, pick])
    # Grazing surfaces send little light back.
    nir = cv2.extractChannel(picture.colour, 3) * cv2.extractChannel(picture.normal, 2).clip(0.1, 1.0)
    sun = np.full_like(ideal, scene.light.sun)
    nir, fail = nir[pick, pick], cv2.extractChannel(picture.optics, 1)[pick, pick]
    chance = hole_probability(ideal, nir, fail, sun, sensor)
    focal = ideal.shape[0] * scene.target_mm / domain.crop_mm
    return degrade_depth(ideal, nir, chance, sensor, rng, focal_px=focal)


def render_video(plan: VideoPlan, setting: Setting) -> list[Frame]:
    """Render all frames of a video.

    Args:
        plan: What is presented to which camera.
        setting: Size, seed and perturbations.

    Returns:
        The frames. Same plan and setting, same bytes, in any process and order.
    """
    domain, size = setting.domain(plan.domain), SIZES[setting.size]
    rng = generator(setting, plan.domain, plan.split, 'video', plan.index)
    shift_rng = generator(setting, plan.domain, plan.split, 'perturbation', plan.index)
    style = _draw_style(rng, domain, setting.stress.misregistration, shift_rng)
    side = size.pixels * size.supersample
    people = (subject_of(setting, plan, plan.subject), subject_of(setting, plan, plan.other))
    # Drawn finer than shown: the maps need not be finer than what is shown.
    step_mm = style.crop_mm / side * (1.0 if size.supersample == 1 else 1.4)
    scene = build_scene(plan, domain, people, rng, step_mm)
    camera = Camera.framing(side, style.crop_mm, scene.target_mm)
    # The crop follows the detected face, not the optical axis.
    centre_y = 24.0 * scene.head_pose.z_mm / scene.target_mm
    scene = replace(
        scene,
        head_pose=replace(scene.head_pose, y_mm=scene.head_pose.y_mm - centre_y),
        medium_pose=replace(scene.medium_pose, y_mm=scene.medium_pose.y_mm - 10.0),
    )
    still, frames = _still_views(scene, camera), []
    for number in range(plan.num_frames):
        frame_rng = generator(setting, plan.domain, plan.split, 'frame', plan.index, number)
        picture = _frame_views(scene, still, camera, frame_rng)
        frames.append(_shoot(picture, scene, domain, style, setting, frame_rng))
    return frames
