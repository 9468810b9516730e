"""One training of the benchmark and the cells that are scored with it, as one process does them."""

from __future__ import annotations

import copy
import json
import platform
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from mmfas.apis.testing import test
from mmfas.apis.training import find_latest, resume_from, train
from mmfas.benchmark.configs import (
    apply_split,
    data_identity,
    family_of,
    num_epochs,
    training_config,
    use_data_root,
    use_workers,
)
from mmfas.benchmark.methods import Method, config_hash
from mmfas.benchmark.paper import score_as_papers
from mmfas.benchmark.plan import Cell, Protocol, Training
from mmfas.benchmark.recomputing import NUM_BOOTSTRAP
from mmfas.benchmark.record import Identity, Record, refusing_full_disk, write_record, write_scores
from mmfas.benchmark.records import finished
from mmfas.benchmark.site import site_numbers
from mmfas.benchmark.site_scoring import score_sites
from mmfas.evaluation import ScoreRules
from mmfas.utils.files import remove_leftovers, write_atomically
from mmfas.utils.locks import lock_folder
from mmfas.utils.runs import commit
from mmfas.version import __version__


@dataclass(frozen=True)
class Settings:
    """How a benchmark is run.

    Args:
        records: Folder that new records are written to.
        work_dir: Folder below which every training has one of its own.
        data_root: Folder of the data; None takes that of each config.
        select: `'last'` scores the last epoch, `'dev'` the one with the lowest HTER on the dev lists.
        paper: Protocols whose cells are also scored as papers do: every epoch on the target.
        num_workers: Loader workers of every process; None takes those of each config.
        more_records: Folders whose records count as finished too, packed or not.
    """

    records: str
    work_dir: str
    data_root: str | None = None
    select: str = 'last'
    paper: tuple[Protocol, ...] = ()
    num_workers: int | None = 0
    more_records: tuple[str, ...] = ()

    @property
    def all_records(self) -> tuple[str, ...]:
        """All folders of records."""
        return (self.records, *self.more_records)


@dataclass(frozen=True)
class Job:
    """One training with what it needs to run in a process of its own.

    Args:
        method: The method.
        training: The training.
        settings: How the benchmark is run.
        dependents: Jobs that score the checkpoints of the same training, see `Method.trained_as`.
    """

    method: Method
    training: Training
    settings: Settings
    dependents: tuple[Job, ...] = ()

    @property
    def name(self) -> str:
        """Name for messages."""
        return f'{self.method.name} {self.training.split} seed {self.training.seed}'

    @property
    def trained(self) -> Method:
        """The method that is trained."""
        return self.method.trained_as or self.method

    @property
    def folder(self) -> Path:
        """Folder of the training."""
        return Path(self.settings.work_dir, self.trained.name, self.training.name)

    @property
    def identity(self) -> Identity:
        """The identity that its records must have."""
        return identity_of(self.method, self.settings)

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Cells without a record, those of the dependents left out."""
        return unfinished(self.training, self.identity, self.settings)


def share_trainings(jobs: Sequence[Job]) -> list[Job]:
    """Join jobs that score the checkpoints of the same training, so that one process does them one after another.

    Args:
        jobs: Jobs without dependents.

    Returns:
        One job per training, in the order of their first ones.
    """
    groups: dict[Path, list[Job]] = {}
    for job in jobs:
        groups.setdefault(job.folder, []).append(job)
    return [replace(first, dependents=tuple(rest)) for first, *rest in groups.values()]


def identity_of(method: Method, settings: Settings) -> Identity:
    """Return the identity of the records of a method with these settings.

    Args:
        method: The method.
        settings: How the benchmark is run.

    Returns:
        The identity.

    Raises:
        MethodError: If the lists that the config trains on do not belong to a family.
        FileNotFoundError: If the data are not there.
    """
    cfg = method.load()
    family = family_of(cfg)
    data = data_identity(family, use_data_root(cfg, settings.data_root))
    return Identity(method.name, config_hash(cfg), data, settings.select)


def unfinished(training: Training, identity: Identity, settings: Settings) -> tuple[Cell, ...]:
    """Return the cells of a training that still need work.

    Args:
        training: The training.
        identity: What is to be run.
        settings: How the benchmark is run.
    """
    return tuple(
        cell
        for cell in training.cells
        if finished(settings.all_records, identity, cell, with_paper=cell.protocol in settings.paper) is None
    )


def do_job(job: Job) -> list[Record]:
    """Train unless that is done, then score and record every cell that has no record yet; dependents come last.

    Args:
        job: The job.

    Returns:
        The records that were made.

    Raises:
        BusyError: If another process does the same training.
        RecordError: If the disk is full or a record is broken.
    """
    jobs = [member for member in (job, *job.dependents) if member.cells]
    if not jobs:
        return []
    with_paper = any(cell.protocol in member.settings.paper for member in jobs for cell in member.cells)
    with refusing_full_disk(job.folder), lock_folder(job.folder, 'leave its cells to it', below=True):
        for member in jobs:
            remove_leftovers(Path(member.settings.records, member.method.name))
        train_s = _train(job, with_paper=with_paper)
        made = [record for member in jobs for record in _score_cells(member, train_s)]
        if with_paper:
            _tidy(job, num_epochs(job.trained.load()))
    return made


def _load(method: Method, settings: Settings) -> tuple[Config, str]:
    """Return the config of a method with the data and workers of the settings, and its family."""
    cfg = method.load()
    use_data_root(cfg, settings.data_root)
    use_workers(cfg, settings.num_workers)
    return cfg, family_of(cfg)


def _train(job: Job, *, with_paper: bool) -> float:
    """Train for the full length, continuing where an earlier process stopped; return the seconds of all."""
    cfg, family = _load(job.trained, job.settings)
    identity = identity_of(job.trained, job.settings)
    folder, epochs = job.folder, num_epochs(cfg)
    fingerprint = _fingerprint(identity)
    progress = _read_progress(folder / 'benchmark.json')
    if _made_of(progress) != fingerprint or (with_paper and not _has_every_epoch(folder)):
        # Of another config or data, or epochs that are needed now were removed: start over.
        _clear(folder)
        progress = {'fingerprint': fingerprint, 'seconds': 0.0, 'started': time.time()}
    last = find_latest(folder)
    if last is not None and last.name == f'epoch_{epochs}.pth':
        return float(progress['seconds']) + max(0.0, last.stat().st_mtime - progress['started'])
    # What an earlier process did counts up to its last checkpoint: the rest is done again.
    before = float(progress['seconds'])
    before += 0.0 if last is None else max(0.0, last.stat().st_mtime - progress['started'])
    progress = {'fingerprint': fingerprint, 'seconds': before, 'started': time.time()}
    write_atomically(folder / 'benchmark.json', json.dumps(progress))
    apply_split(cfg, family, protocol=job.training.protocol, split=job.training.split)
    cfg = training_config(cfg, job.training, str(folder), select=job.settings.select, keep_all=with_paper)
    resume_from(cfg, 'auto')
    train(cfg)
    return before + time.time() - progress['started']


def is_trained(job: Job) -> bool:
    """Tell whether the last checkpoint of a training is there, made with this very config and data.

    Args:
        job: The job.
    """
    last = find_latest(job.folder)
    if last is None or last.name != f'epoch_{num_epochs(job.method.load())}.pth':
        return False
    progress = _read_progress(job.folder / 'benchmark.json')
    return _made_of(progress) == _fingerprint(identity_of(job.method, job.settings))


def _fingerprint(identity: Identity) -> str:
    """Return what distinguishes the checkpoints of one config, data set and choice of epoch from others."""
    return json.dumps([identity.config_hash, identity.data, identity.select])


def _made_of(progress: dict[str, Any]) -> str | None:
    """Return the fingerprint of what a training was started with; earlier files call it a mark."""
    found = progress.get('fingerprint', progress.get('mark'))
    return found if isinstance(found, str) else None


def _read_progress(path: Path) -> dict[str, Any]:
    """Return what an earlier process wrote about a training; nothing if it is absent or unreadable."""
    try:
        return dict(json.loads(path.read_text(encoding='utf-8')))
    except (OSError, ValueError):
        return {}


def _has_every_epoch(folder: Path) -> bool:
    """Tell whether no checkpoint up to the latest is missing."""
    found = sorted(int(path.stem.partition('_')[2]) for path in folder.glob('epoch_*.pth'))
    return found == list(range(1, len(found) + 1))


def _clear(folder: Path) -> None:
    """Remove what an earlier training left in a folder."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in ('.lock', 'log.txt'):
            path.unlink()


def _checkpoint(job: Job, epochs: int) -> tuple[Path, int]:
    """Return the checkpoint to be scored and its epoch."""
    last = job.folder / f'epoch_{epochs}.pth'
    if job.settings.select == 'last':
        return last, epochs
    best = next(iter(job.folder.glob('best_*.pth')))
    return best, int(best.stem.rpartition('_')[2])


def _score_cells(job: Job, train_s: float) -> list[Record]:
    """Score and record every cell of a job that has no record yet."""
    cfg, family = _load(job.method, job.settings)
    made = []
    for cell in job.cells:
        scoring = copy.deepcopy(cfg)
        apply_split(scoring, family, protocol=cell.protocol, split=cell.split)
        made.append(_score(job, cell, scoring, job.identity, train_s))
    return made


def _score(job: Job, cell: Cell, cfg: Config, identity: Identity, train_s: float) -> Record:
    """Score one cell and write its record."""
    start = time.time()
    epochs, records = num_epochs(cfg), job.settings.records
    checkpoint, epoch = _checkpoint(job, epochs)
    # The published lists of the real sets repeat frames.
    repeats = identity.data['name'] != 'synthfas'
    rules = ScoreRules.from_config(cfg, num_bootstrap=NUM_BOOTSTRAP, allow_duplicates=repeats)
    # methods scored with the same training use the same folder
    out = job.folder / (cell.name if job.method.trained_as is None else f'{job.method.name}_{cell.name}')
    result = test(cfg, str(checkpoint), out, rules=rules, plots=False)
    assert result is not None and result.dev is not None
    sites = score_sites(cfg, str(checkpoint))
    # The seed of the training draws the videos: methods are compared with the same ones, seeds with others.
    site = site_numbers(sites, result.tables['test'], rules.changed(seed=cell.seed)) if sites else None
    paper = None
    if cell.protocol in job.settings.paper:
        checkpoints = [job.folder / f'epoch_{number}.pth' for number in range(1, epochs + 1)]
        paper = score_as_papers(cfg, checkpoints, out / 'paper', allow_duplicates=rules.allow_duplicates)
    scores = write_scores(records, identity, cell, dev=result.dev, test=result.tables['test'], **sites)
    code = commit()
    record = Record(
        method=job.method.name,
        collection=job.method.collection,
        config=job.method.config,
        options=dict(job.method.options),
        config_hash=identity.config_hash,
        protocol=cell.protocol,
        split=cell.split,
        seed=cell.seed,
        select=job.settings.select,
        epoch=epoch,
        max_epochs=epochs,
        data=identity.data,
        commit=code.rstrip('+'),
        dirty=code.endswith('+'),
        versions={'mmfas': __version__, 'torch': torch.__version__},
        device=_device(),
        seconds={'train': round(train_s, 1), 'score': round(time.time() - start, 1)},
        report=result.reports[0].to_dict(),
        paper=paper,
        scores=scores,
        site=site,
    )
    write_record(records, record)
    return record


def _tidy(job: Job, epochs: int) -> None:
    """Remove the checkpoints of single epochs once every one of them has scored the target."""
    for path in job.folder.glob('epoch_*.pth'):
        if path.name != f'epoch_{epochs}.pth':
            path.unlink()


def _device() -> str:
    """Name the device that this process computes on."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f'CPU {platform.machine()}, {torch.get_num_threads()} threads'
