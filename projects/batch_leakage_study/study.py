"""What a method gains from its batch, over trainings with several seeds or splits: the study of batch leakage.

A record is a JSON file of one measured training; what has a record of the same config, data and settings is not
measured again, so a study can be stopped at any time and continued.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from mmfas.analysis.batch_leakage import BatchingResult, measure_batch_leakage
from mmfas.benchmark.configs import (
    apply_split,
    data_identity,
    family_of,
    num_epochs,
    use_data_root,
    use_workers,
)
from mmfas.benchmark.jobs import Job, Settings, is_trained
from mmfas.benchmark.methods import Method, config_hash, find_method
from mmfas.benchmark.plan import Cell, Training
from mmfas.benchmark.pool import run_jobs
from mmfas.evaluation.tables import mean_interval
from mmfas.utils.errors import InputError, MissingFileError, RunError
from mmfas.utils.runs import commit, in_processes, load_records, read_run_record, write_run_record
from mmfas.version import __version__


@dataclass(frozen=True)
class LeakageSettings:
    """How the study is done.

    Args:
        work_dir: Folder of trainings, laid out as that of `mmfas benchmark run`, whose checkpoints serve here too.
        records: Folder of the records of this study.
        data_root: Folder of the data; None takes that of each config.
        batch_sizes: Batch sizes.
        num_repeats: How often every batch size is scored, at least; a record with more serves too.
        num_jobs: Processes at a time.
    """

    work_dir: str
    records: str
    data_root: str | None = None
    batch_sizes: tuple[int, ...] = (1, 3, 16)
    num_repeats: int = 2
    num_jobs: int = 1


def study_batch_leakage(
    methods: Sequence[Method],
    splits: Sequence[str],
    seeds: Sequence[int],
    *,
    settings: LeakageSettings,
    report: Callable[[str], None],
) -> list[dict[str, Any]]:
    """Train what has no checkpoint, then measure what has no record.

    Args:
        methods: The methods to compare.
        splits: Splits of Protocol 1.
        seeds: Seeds of the trainings.
        settings: How it is done.
        report: Called with lines of progress.

    Returns:
        The records, methods in their order.

    Raises:
        RuntimeError: If a training failed; what is done is kept.
    """
    jobs = [_job(method, split, seed, settings) for method, split, seed in product(methods, splits, seeds)]
    todo = [job for job in jobs if _found(job, settings) is None]
    untrained = [job for job in todo if not is_trained(job)]
    failures = run_jobs(untrained, ['cpu'] * settings.num_jobs, report=report) if untrained else []
    if failures:
        raise RunError('; '.join(failures))
    for name in in_processes(_measure, [(job, settings) for job in todo], settings.num_jobs):
        report(f'{name}: measured')
    return [record for job in jobs if (record := _found(job, settings)) is not None]


def _job(method: Method, split: str, seed: int, settings: LeakageSettings) -> Job:
    """Make the training of one measurement, whose benchmark record is beside its checkpoint."""
    training = Training(method.name, 1, split, seed, (Cell(method.name, 1, split, seed),))
    folder = Path(settings.work_dir, method.name, training.name)
    return Job(method, training, Settings(str(folder / 'records'), settings.work_dir, settings.data_root))


def _identity(job: Job, settings: LeakageSettings) -> dict[str, Any]:
    """Return the identity of a record."""
    cfg = job.method.load()
    return dict(
        method=job.method.name,
        config=job.method.config,
        config_hash=config_hash(cfg),
        data=data_identity(family_of(cfg), use_data_root(cfg, settings.data_root)),
        split=job.training.split,
        seed=job.training.seed,
        batch_sizes=list(settings.batch_sizes),
    )


def _file(job: Job, settings: LeakageSettings) -> Path:
    return Path(settings.records, f'{job.method.name}_{job.training.name}.json')


def _found(job: Job, settings: LeakageSettings) -> dict[str, Any] | None:
    """Return the record of a job, if there is one with enough repetitions."""
    record = read_run_record(_file(job, settings), _identity(job, settings))
    return record if record is not None and record['num_repeats'] >= settings.num_repeats else None


def _measure(job: Job, settings: LeakageSettings) -> str:
    """Measure one training and write its record; return its name."""
    cfg = job.method.load()
    use_data_root(cfg, settings.data_root)
    use_workers(cfg, 0)
    apply_split(cfg, family_of(cfg), protocol=1, split=job.training.split)
    checkpoint = job.folder / f'epoch_{num_epochs(cfg)}.pth'
    results = measure_batch_leakage(
        cfg,
        str(checkpoint),
        batch_sizes=settings.batch_sizes,
        num_repeats=settings.num_repeats,
        seed=job.training.seed,
    )
    record = dict(
        **_identity(job, settings),
        num_repeats=settings.num_repeats,
        commit=commit(),
        versions={'mmfas': __version__, 'torch': torch.__version__},
        results=[result.to_dict() for result in results],
    )
    write_run_record(_file(job, settings), record)
    return job.name


def read_leakage_records(folder: str | Path) -> list[dict[str, Any]]:
    """Read the records of a study.

    Args:
        folder: Folder of the records.

    Returns:
        The records, by method, split and seed.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If those of a method are of different configs or settings: their mean would be meaningless.
    """
    records = [*load_records(folder).values()]
    if not records:
        raise MissingFileError(f"'{folder}' holds no records of the study of batch leakage")
    for method in _by_method(records).values():
        keys = ('config_hash', 'data', 'batch_sizes')
        if len({json.dumps([record[key] for key in keys], sort_keys=True) for record in method}) > 1:
            raise InputError(f"'{folder}' mixes records of {method[0]['method']} with different {', '.join(keys)}")
    return records


def _by_method(records: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Group records by method."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        groups.setdefault(record['method'], []).append(record)
    return groups


def leakage_table(records: Sequence[dict[str, Any]]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Lay a study out as a table.

    Args:
        records: What `study_batch_leakage` returned or `read_leakage_records` read.

    Returns:
        Header and rows: per method, batch size and order, means over the trainings; `HTER gain` is the HTER
        alone in a batch minus that in this kind of batch, at dev thresholds, paired by training, with the half
        width of its 95 % interval (Student's t over the trainings) and how many of them gained.
    """
    rates = ('HTER % (dev threshold)', 'HTER % (oracle)', 'AUC %')
    worth = ('HTER gain', 'gained', 'mean change of a score', 'decisions changed %')
    header = ('config', 'batch', 'order', *rates, *worth)
    rows = []
    for method, own in _by_method(records).items():
        runs = [[BatchingResult(**result) for result in record['results']] for record in own]
        # alone in a batch there is no order: the two rows are draws of a model that is random at test
        alone = [mean(r.hter for r in run if r.batch_size == 1) for run in runs]
        for kind in zip(*runs, strict=True):
            gains = [base - result.hter for base, result in zip(alone, kind, strict=True)]
            centre, half = mean_interval(gains)
            values = [
                _percent(getattr(result, name) for result in kind) for name in ('hter', 'oracle_hter', 'auc')
            ]
            rows.append(
                (method, str(kind[0].batch_size), kind[0].order, *values)
                + (f'{100 * centre:+.2f} ± {100 * half:.2f}', f'{sum(g > 0 for g in gains)} of {len(gains)}')
                + (f'{mean(r.mean_change for r in kind):.1e}', _percent(r.flipped for r in kind))
            )
    return header, rows


def _percent(values: Any) -> str:
    """Return the mean in per cent."""
    return f'{100 * mean(values):.2f}'


def default_methods() -> list[Method]:
    """Return the presets of MMDA on SynthFAS: default and released."""
    name = 'mmda_mini-vit_1xb32-12e_synthfas-cps2w'
    return [find_method(name), find_method(f'{name}_released')]
