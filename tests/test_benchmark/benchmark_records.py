"""Records for the tests of the benchmark: made up, but with real score files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mmfas.benchmark.plan import Cell
from mmfas.benchmark.records import Identity, Record, write_record, write_scores
from mmfas.evaluation import ScoreTable, evaluate_scores
from mmfas.synthfas import RENDERER_VERSION

SMALL = {'name': 'synthfas', 'renderer_version': '1.0.0', 'size': 'small', 'seed': 0, 'stress': {}}
#: Data whose scores are kept when they are packed.
CURRENT = {**SMALL, 'renderer_version': RENDERER_VERSION}


def scores(name: str, seed: int) -> ScoreTable:
    """Twelve live samples and two kinds of attack, overlapping."""
    rng = np.random.default_rng(seed)
    rows = [
        dict(sample_id=f'{name}/{pai}{i}', domain='W', pai=pai, label=int(pai == 'live'), score=float(score))
        for pai, centre in (('live', 0.7), ('print', 0.3), ('mask3d', 0.5))
        for i, score in enumerate(rng.normal(centre, 0.15, 12).clip(0, 1))
    ]
    return ScoreTable.from_records(rows)


def add_record(
    folder: Path,
    cell: Cell,
    *,
    config_hash: str = 'abc',
    data: dict[str, Any] | None = None,
    paper: dict[str, Any] | None = None,
    test_scores: ScoreTable | None = None,
    num_bootstrap: int = 0,
    **changes: Any,
) -> Record:
    """Write the record of a cell with its score files."""
    identity = Identity(cell.method, config_hash, data or SMALL, changes.get('select', 'last'))
    number = cell.seed + 10 * len(cell.split)
    dev, test = scores('dev', number), test_scores or scores('test', number + 1)
    fields = dict(
        method=cell.method,
        collection='Baselines',
        config=f'configs/baselines/{cell.method}.py',
        options={},
        config_hash=config_hash,
        protocol=cell.protocol,
        split=cell.split,
        seed=cell.seed,
        select='last',
        epoch=12,
        max_epochs=12,
        data=data or SMALL,
        commit='1234567',
        dirty=False,
        versions={'mmfas': '0.1.0', 'torch': '2.15'},
        device='CPU',
        seconds={'train': 100.0, 'score': 2.0},
        report=evaluate_scores(test, dev=dev, num_bootstrap=num_bootstrap).to_dict(),
        paper=paper,
        scores=write_scores(folder, identity, cell, dev=dev, test=test),
    )
    record = Record(**{**fields, **changes})
    write_record(folder, record)
    return record


def with_numbers(hter: float, auc: float) -> dict[str, Any]:
    """A report that says nothing but these numbers."""
    threshold = {'value': 0.5, 'origin': 'dev-eer'}
    return {'hter': {'value': hter}, 'auc': {'value': auc}, 'acer_max': hter, 'threshold': threshold}
