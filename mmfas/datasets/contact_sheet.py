"""Contact sheets: packed samples as a picture, one row each, one column per modality."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from mmfas.structures import LIVE, MODALITIES
from mmfas.utils.errors import InputError

__all__ = ['draw_contact_sheet']

_CAPTION_HEIGHT = 16
_MARGIN = 4
_LIVE_COLOUR, _SPOOF_COLOUR, _GREY = (40, 160, 40), (200, 40, 40), (90, 90, 90)


def _caption(text: str, width: int, colour: tuple[int, int, int]) -> np.ndarray:
    """Draw one line of text on white, cut to the width."""
    line = np.full((_CAPTION_HEIGHT, width, 3), 255, np.uint8)
    return cv2.putText(line, text, (2, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.35, colour, 1, cv2.LINE_AA)


def _tile(image: np.ndarray, is_present: bool, size: int) -> np.ndarray:
    """Scale an image (3, H, W) into a square tile; an absent one is crossed out."""
    tile = cv2.resize(np.ascontiguousarray(image.transpose(1, 2, 0)), (size, size), interpolation=cv2.INTER_AREA)
    if not is_present:
        tile = cv2.line(tile, (0, 0), (size, size), _GREY, 1)
    return cv2.copyMakeBorder(tile, 0, 0, _MARGIN, _MARGIN, cv2.BORDER_CONSTANT, value=(255, 255, 255))


def draw_contact_sheet(samples: Sequence[dict[str, Any]], tile_size: int = 160) -> np.ndarray:
    """Draw packed samples below each other.

    Args:
        samples: Outputs of `PackFASInputs`, at least one.
        tile_size: Edge of one image, in pixels.

    Returns:
        Picture (H, W, 3), uint8, RGB order; above each row domain, class, PAI and sample id, green for live and
        red for spoof. Absent modalities are crossed out.

    Raises:
        ValueError: If there is no sample.
    """
    if not samples:
        raise InputError('a contact sheet needs at least one sample')
    width = len(MODALITIES) * (tile_size + 2 * _MARGIN)
    rows = [np.hstack([_caption(m, tile_size + 2 * _MARGIN, _GREY) for m in MODALITIES])]
    for sample in samples:
        info = sample['data_samples']
        is_live = info.get('gt_label') == LIVE
        words = (info.get('domain'), 'live' if is_live else 'spoof', info.get('pai'), info.get('sample_id'))
        rows.append(_caption(' | '.join(map(str, words)), width, _LIVE_COLOUR if is_live else _SPOOF_COLOUR))
        present = info.present.tolist()
        tiles = [_tile(sample['inputs'][m].numpy(), p, tile_size) for m, p in zip(MODALITIES, present)]
        rows.append(np.hstack(tiles))
    return np.vstack(rows)
