"""Put views of several surfaces in front of a wall: a z-buffer with soft edges."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from mmfas.synthfas.optics.camera import View
from mmfas.synthfas.people.body import Wall

__all__ = ['Picture', 'compose']


@dataclass(frozen=True)
class Picture:
    """What the camera meets in each pixel (H, W), before any light.

    Args:
        depth_mm: Distance Z.
        normal: (H, W, 3), z towards the camera.
        colour: (H, W, 4) linear R, G, B, NIR.
        optics: (H, W, 3) gloss, depth failure affinity, emission.
    """

    depth_mm: np.ndarray
    normal: np.ndarray
    colour: np.ndarray
    optics: np.ndarray


def compose(wall: Wall, views: list[View], size: int) -> Picture:
    """Stack views over the wall.

    Args:
        wall: Background of the scene.
        views: Views of `size` x `size` pixels, from the back to the front where they touch.
        size: Side of the picture in pixels.

    Returns:
        The picture. Colours mix over soft edges; the depth does not, it belongs to one of the two sides.
    """
    depth = wall.depth((size, size)).astype(np.float32)
    colour = cv2.resize(wall.colour, (size, size), interpolation=cv2.INTER_AREA)
    optics = np.zeros((size, size, 3), np.float32)
    normal = np.zeros((size, size, 3), np.float32)
    normal[..., 2] = 1.0
    for view in views:
        box = view.box
        alpha = view.alpha * (view.depth_mm < depth[box])
        rest = 1.0 - alpha
        for below, above in ((colour, view.colour), (optics, view.optics), (normal, view.normal)):
            below[box] = cv2.blendLinear(above, np.ascontiguousarray(below[box]), alpha, rest)
        solid = (alpha > 0.5).view(np.uint8)
        depth[box] = cv2.copyTo(view.depth_mm, solid, np.ascontiguousarray(depth[box]))
    return Picture(depth, normal, colour, optics)
