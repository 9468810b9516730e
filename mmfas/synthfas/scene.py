"""Build the scene of one video: surfaces with poses, the wall and the light."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mmfas.synthfas.attacks import masks
from mmfas.synthfas.attacks.media import INKS, Sheet, build_screen, build_sheet
from mmfas.synthfas.attacks.photo import PHOTO_MM, shoot_photo
from mmfas.synthfas.optics.lighting import draw_light
from mmfas.synthfas.people.body import Wall, build_body, build_wall
from mmfas.synthfas.people.head import HeadMaps, build_head, to_surface
from mmfas.synthfas.people.head_shape import head_grid
from mmfas.synthfas.people.subject import draw_expression, draw_pose
from mmfas.synthfas.plan.domain import CUTS, Domain
from mmfas.synthfas.plan.plan import VideoPlan
from mmfas.synthfas.records import Light, Pose, Subject, Surface

__all__ = ['Scene', 'build_scene']


@dataclass(frozen=True)
class Scene:
    """Everything in front of the camera during one video.

    Args:
        wall: Background.
        light: Visible light and sun.
        head: Head surface, or None if a sheet or screen stands alone.
        body: Neck and shoulders, or None.
        medium: Sheet or screen, or None.
        head_pose: Mean pose of the head.
        medium_pose: Mean pose of the medium.
        target_mm: Distance of what the crop is centred on.
    """

    wall: Wall
    light: Light
    head: Surface | None
    body: Surface | None
    medium: Surface | None
    head_pose: Pose
    medium_pose: Pose
    target_mm: float


def draw_sheet(rng: np.random.Generator, domain: Domain, plan: VideoPlan) -> Sheet:
    """Draw ink, paper, bend and cut-outs of a print; test lists may have other inks than train lists."""
    weights = np.array(domain.test_inks if plan.split == 'test' else domain.train_inks)
    ink = INKS[int(rng.choice(3, p=weights / weights.sum()))]
    paper = str(
        rng.choice(('paper', 'paper', 'photo_paper', 'cardboard') if ink != 'dye' else ('paper', 'photo_paper'))
    )
    curvature = float(rng.uniform(*domain.sheet_curvature))
    holes = ''
    if plan.variant in CUTS:
        cut, _, bend = plan.variant.partition('_')
        holes = cut
        curvature = curvature if bend == 'b' else 0.12 * curvature
    elif rng.random() < 0.5:
        curvature = 0.05 * curvature
    border = float(rng.choice((0.0, 6.0, 14.0)))
    return Sheet(
        ink,
        paper,
        float(rng.uniform(0.92, 1.08)),
        border,
        curvature,
        bool(rng.random() < 0.75),
        holes,
        float(rng.uniform(0.1, 1.1)),
        float(rng.uniform(*domain.sheet_crop)),
    )


def _wear(
    maps: HeadMaps, plan: VideoPlan, domain: Domain, people: tuple[Subject, Subject], rng: np.random.Generator
) -> HeadMaps:
    """Apply the worn attack of the plan to a head, if any."""
    wearer, other = people
    if plan.pai == 'mask3d':
        masks.wear_rigid_mask(maps, wearer, other, rng, nir=float(rng.uniform(*domain.polymer_nir)))
    elif plan.pai == 'silicone':
        skin_like = float(rng.uniform(*domain.skin_like))
        masks.wear_silicone_mask(
            maps, wearer, other, rng, skin_like=skin_like, nir=float(rng.uniform(*domain.polymer_nir))
        )
    elif plan.pai == 'prosthetic':
        masks.wear_prosthetics(maps, wearer, other, rng)
    elif plan.pai == 'glasses':
        masks.wear_funny_glasses(maps, wearer, rng)
    elif plan.pai in ('papermask', 'partial'):
        photo = shoot_photo(other, rng, int(PHOTO_MM / maps.grid.step_mm))
        sheet = draw_sheet(rng, domain, plan)
        sheet = replace(sheet, holes='e' if rng.random() < 0.8 else 'em', scale=1.0)
        wear = masks.wear_paper_mask if plan.pai == 'papermask' else masks.wear_patch
        wear(maps, wearer, photo, sheet, rng)
    elif plan.pai == 'fakehead':
        return masks.build_mannequin(wearer, maps.grid, rng, nir=float(rng.uniform(*domain.polymer_nir)))
    return maps


def _medium(
    plan: VideoPlan, domain: Domain, people: tuple[Subject, Subject], rng: np.random.Generator, step_mm: float
) -> Surface:
    """Build the sheet or screen of the plan."""
    victim, holder = people
    photo = shoot_photo(victim, rng, int(PHOTO_MM / step_mm * 0.9))
    hand = holder if rng.random() < 0.5 else None
    if plan.pai != 'replay':
        return build_sheet(photo, draw_sheet(rng, domain, plan), rng, step_mm, victim=victim, holder=hand)
    return build_screen(
        photo,
        rng,
        step_mm,
        scale=float(rng.uniform(0.9, 1.08)),
        crop=float(rng.uniform(*domain.sheet_crop)),
        bezel_mm=float(rng.choice((5.0, 9.0, 18.0))),
        moire=float(rng.uniform(*domain.moire)),
        holder=hand,
    )


def build_scene(
    plan: VideoPlan,
    domain: Domain,
    people: tuple[Subject, Subject],
    rng: np.random.Generator,
    step_mm: float,
) -> Scene:
    """Build the scene of a video.

    Args:
        plan: What is presented.
        domain: Cameras, rooms and kinds of attacks.
        people: The presented subject and another subject of the split.
        rng: All draws of the video.
        step_mm: Size of a pixel on the face.

    Returns:
        The scene. Walls, light, distance and framing are drawn before the label matters.
    """
    subject, other = people
    wall = build_wall(rng, 64, float(rng.uniform(*domain.wall_mm)))
    light = draw_light(rng, sun_rate=domain.sun_rate, warmth=domain.warmth, shadow=domain.shadow)
    pose = draw_pose(rng, domain.pose_deg, domain.distance_mm, domain.shift_mm)
    held = plan.pai in ('print', 'replay')
    front = subject.depth_mm
    medium_pose = replace(pose, yaw_deg=0.8 * pose.yaw_deg, z_mm=pose.z_mm - 30.0, y_mm=pose.y_mm - 2.0)
    if not held:
        expression = draw_expression(rng)
        head_maps = build_head(subject, head_grid(step_mm, subject), expression)
        maps = _wear(head_maps, plan, domain, people, rng)
        head = to_surface(maps.grid, maps.height, maps.cover, maps.canvas, relief_mm=front)
        stand = plan.pai == 'fakehead' and bool(rng.random() < 0.6)
        body = build_body(subject, step_mm, bare_stand=stand, reach_mm=180.0)
        return Scene(wall, light, head, body, None, pose, medium_pose, pose.z_mm - 0.85 * front)
    medium = _medium(plan, domain, people, rng, step_mm)
    gap = float(rng.uniform(12.0, 60.0))
    target = pose.z_mm - 0.85 * front
    medium_pose = replace(medium_pose, z_mm=target)
    if plan.variant in CUTS or rng.random() < 0.7:
        maps = build_head(other, head_grid(1.25 * step_mm, other), draw_expression(rng))
        head = to_surface(maps.grid, maps.height, maps.cover, maps.canvas, relief_mm=other.depth_mm)
        head_pose = replace(pose, z_mm=target + 1.2 * other.depth_mm + gap)
        return Scene(wall, light, head, build_body(other, step_mm), medium, head_pose, medium_pose, target)
    return Scene(wall, light, None, None, medium, pose, medium_pose, target)
