"""Contact sheets: live and every attack x modality x domain in one picture, to be looked at."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from mmfas.synthfas.plan.domains import DOMAINS, SPLITS
from mmfas.synthfas.plan.plan import Setting, VideoPlan, plan_split
from mmfas.synthfas.render import Frame, render_video
from mmfas.utils.errors import InputError
from mmfas.utils.files import write_atomically

__all__ = ['SHOWN', 'contact_sheet', 'write_contact_sheet']

#: Rows of a sheet, from bona fide to mannequin.
SHOWN: tuple[str, ...] = (
    'live', 'print', 'replay', 'partial', 'papermask', 'mask3d', 'silicone', 'glasses', 'fakehead', 'prosthetic'
)  # fmt: skip
_CELL = 96
_LABEL_PX = 92


def _find(setting: Setting, domain: str, pai: str, count: int) -> list[VideoPlan]:
    """Return up to `count` videos of an instrument, of different subjects, from the test list first."""
    found: dict[int, VideoPlan] = {}
    for split in reversed(SPLITS):
        for plan in plan_split(setting, domain, split):
            if plan.pai == pai and len(found) < count:
                found.setdefault(plan.subject, plan)
    return list(found.values())


def _cell(frame: Frame | None) -> np.ndarray:
    """Put the three modalities of a frame side by side: (_CELL, 3 * _CELL, 3) BGR; grey if there is none."""
    if frame is None:
        return np.full((_CELL, 3 * _CELL, 3), 235, np.uint8)
    pictures = [
        frame.rgb[..., ::-1],
        cv2.cvtColor(frame.depth, cv2.COLOR_GRAY2BGR),
        cv2.cvtColor(frame.ir, cv2.COLOR_GRAY2BGR),
    ]
    return np.hstack([cv2.resize(np.ascontiguousarray(p), (_CELL, _CELL)) for p in pictures])


def _write(canvas: np.ndarray, text: str, x: int, y: int) -> None:
    """Write small black text at (x, y)."""
    cv2.putText(canvas, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)


def contact_sheet(
    setting: Setting,
    *,
    domains: tuple[str, ...] = tuple(DOMAINS),
    num_examples: int = 1,
    captions: bool = True,
) -> np.ndarray:
    """Draw a contact sheet.

    Args:
        setting: Size, seed and perturbations of the shown data.
        domains: One group of columns each: RGB, depth, NIR.
        num_examples: Rows per instrument.
        captions: Whether to name rows and columns; leave them out to have somebody guess.

    Returns:
        (rows, columns, 3) uint8 in B, G, R order; instruments that none of the shown domains has are left out.

    Raises:
        ValueError: If a domain is unknown.
    """
    for domain in domains:
        if domain not in DOMAINS:
            raise InputError(f'unknown domain {domain!r}; choose from {", ".join(DOMAINS)}')
    rows, names = [], []
    for pai in SHOWN:
        plans = {domain: _find(setting, domain, pai, num_examples) for domain in domains}
        for number in range(num_examples if any(plans.values()) else 0):
            cells = []
            for domain in domains:
                chosen = plans[domain][number : number + 1]
                cells.append(_cell(render_video(chosen[0], setting)[0] if chosen else None))
            rows.append(np.hstack(cells))
            names.append(pai)
    sheet = np.vstack(rows)
    if not captions:
        return sheet
    framed = np.full((sheet.shape[0] + 22, sheet.shape[1] + _LABEL_PX, 3), 255, np.uint8)
    framed[22:, _LABEL_PX:] = sheet
    for index, domain in enumerate(domains):
        for column, modality in enumerate(('rgb', 'depth', 'ir')):
            _write(framed, f'{domain} {modality}', _LABEL_PX + (3 * index + column) * _CELL + 4, 15)
    for index, name in enumerate(names):
        _write(framed, name, 4, 22 + index * _CELL + _CELL // 2)
    return framed


def write_contact_sheet(
    path: str | Path, setting: Setting, *, domains: tuple[str, ...] = tuple(DOMAINS), num_examples: int = 1
) -> None:
    """Draw a contact sheet into a PNG file; arguments as for `contact_sheet`.

    Raises:
        ValueError: If the file name does not end in `.png`, or a domain is unknown.
    """
    path = Path(path)
    if path.suffix != '.png':
        raise InputError(f'{path}: a contact sheet is a PNG; let its name end in .png')
    picture = cv2.imencode('.png', contact_sheet(setting, domains=domains, num_examples=num_examples))[1]
    write_atomically(path, picture.tobytes())
