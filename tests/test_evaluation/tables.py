"""Score tables made for tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmfas.evaluation import ScoreTable


def make_records(num: int, seed: int, *, domain: str = 'W', shift: float = 0.0) -> list[dict[str, Any]]:
    """Return records of videos of five frames, a third of them live, masks rare and hard."""
    rng = np.random.default_rng(seed)
    records = []
    for index in range(num):
        video = index // 5
        live = video % 3 == 0
        pai = 'live' if live else ('mask3d' if video % 20 == 1 else ('print', 'replay')[video % 2])
        logit = rng.normal({'live': 2.0, 'mask3d': 0.5}.get(pai, -2.0), 1.5) + shift
        records.append(
            {
                'sample_id': f'{domain}/{index:05d}.png',
                'domain': domain,
                'subject': f's{video // 4}',
                'video': f'v{video}',
                'pai': pai,
                'label': int(live),
                'score': float(1 / (1 + np.exp(-logit))),
            }
        )
    return records


def make_table(num: int, seed: int, *, domain: str = 'W', shift: float = 0.0) -> ScoreTable:
    """Return the table of `make_records`."""
    return ScoreTable.from_records(make_records(num, seed, domain=domain, shift=shift))
