"""Reading one picture for the crop: from a file or from memory, by the rules of the data set's loader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mmfas.datasets.image_files import MAX_SAMPLE_MB, as_colour, decode_colour, decode_raw, read_image_bytes
from mmfas.datasets.memory_images import is_encoded, kind_of, read_memory_image
from mmfas.utils.errors import restate

__all__ = ['read_picture']


def read_picture(source: Any, modality: str, *, max_mb: float = MAX_SAMPLE_MB) -> np.ndarray:
    """Read a picture by the rules of the data set's loader, but keep 16 bits of depth and infrared.

    Args:
        source: Path of a file; or a picture in memory, see `mmfas.datasets.memory_images`, red first.
        modality: rgb, depth or ir; colour is read with 8 bits.
        max_mb: Memory that it may take once unpacked, in megabytes.

    Returns:
        (H, W) or (H, W, 3), blue first, uint8 or uint16.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the picture is broken or of another kind; the message names modality and file.
    """
    try:
        if isinstance(source, str | Path) or is_encoded(source):
            data = bytes(source) if is_encoded(source) else read_image_bytes(str(source))
            return decode_colour(data, max_mb=max_mb) if modality == 'rgb' else decode_raw(data, max_mb=max_mb)
        raw, _ = read_memory_image(source, max_mb=max_mb)
        return as_colour(raw) if modality == 'rgb' else raw
    except (ValueError, FileNotFoundError) as error:
        what = f"image '{source}'" if isinstance(source, str | Path) else kind_of(source)
        raise restate(error, f'{modality} {what}: {error}') from error
