"""Encode rendered pictures in the file formats of their domain."""

from __future__ import annotations

import io
import zipfile

import cv2
import numpy as np

from mmfas.synthfas.files.layout import frame_files
from mmfas.synthfas.plan.plan import Setting, VideoPlan, generator
from mmfas.synthfas.render import Frame

__all__ = ['encode_frame']

_NUM_CHANNELS_P = 22
#: Grey levels as 0..1; looking them up is far faster than arithmetic in float16.
_LEVELS = np.arange(256, dtype=np.float16) / np.float16(255)


def _jpeg(image: np.ndarray, quality: int) -> bytes:
    """Encode an (H, W) or (H, W, 3) RGB picture as JPEG."""
    picture = image if image.ndim == 2 else np.ascontiguousarray(image[..., ::-1])
    return cv2.imencode('.jpg', picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def _npz(frame: Frame) -> bytes:
    """Encode a frame as PADISI-like npz: `data` (1, 22, H, W) in 0..1, channels B, G, R, NIR, depth, zeros."""
    size = frame.depth.shape[0]
    data = np.zeros((1, _NUM_CHANNELS_P, size, size), np.float16)
    data[0, :3] = _LEVELS[frame.rgb[..., ::-1]].transpose(2, 0, 1)
    data[0, 3], data[0, 4] = _LEVELS[frame.ir], _LEVELS[frame.depth]
    buffer, inner = io.BytesIO(), io.BytesIO()
    np.lib.format.write_array(inner, data)
    # A fixed date keeps the bytes equal between runs; level 1 is five times faster and little larger.
    with zipfile.ZipFile(buffer, 'w', zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(
            zipfile.ZipInfo('data.npy', (1980, 1, 1, 0, 0, 0)), inner.getvalue(), zipfile.ZIP_DEFLATED, 1
        )
    return buffer.getvalue()


def encode_frame(setting: Setting, plan: VideoPlan, number: int, frame: Frame) -> dict[str, bytes]:
    """Encode a frame in the format of its domain.

    Args:
        setting: For the names.
        plan: The video.
        number: Number of the frame in the video.
        frame: Its pictures.

    Returns:
        Relative path -> content.
    """
    names = frame_files(setting, plan, number)
    if plan.domain == 'P':
        return {names.rgb: _npz(frame)}
    domain = setting.domain(plan.domain)
    # Each video has its own compression, so that the size of a file says little about its content.
    change = generator(setting, plan.domain, plan.split, 'file', plan.index).integers(-30, 7, 3)
    quality = np.clip(change + (domain.rgb.jpeg_quality, domain.nir.jpeg_quality, domain.nir.jpeg_quality), 40, 98)
    return {
        names.rgb: _jpeg(frame.rgb, int(quality[0])),
        names.depth: _jpeg(frame.depth, int(quality[1])),
        names.ir: _jpeg(frame.ir, int(quality[2])),
    }
