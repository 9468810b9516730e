"""Train methods in every regime on source lists and judge them by validation sites: random sites held out of
pretraining. No test list of C, P, S or W is read, so the choice is made before the benchmark is run.

A cell is one training: method, regime, split, seed. Its record is a JSON file; a cell with a record of the same
config, data and weights is not trained again, so a study can be stopped at any time and continued.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from mmengine.config import Config

from mmfas.apis.model_index import configs_folder
from mmfas.apis.scoring import build_loader, load_model, prepare_scoring, score_loader
from mmfas.apis.training import train
from mmfas.benchmark.configs import (
    apply_split,
    data_identity,
    family_of,
    num_epochs,
    training_config,
    use_data_root,
    use_workers,
)
from mmfas.benchmark.methods import config_hash
from mmfas.benchmark.plan import Training
from mmfas.evaluation import ScoreTable
from mmfas.evaluation.functional import auc
from mmfas.utils.errors import InputError, MissingFileError
from mmfas.utils.runs import commit, in_processes, read_run_record, write_run_record
from mmfas.utils.shipped import weights_identity

#: Method -> folder and beginning of its configs.
METHODS = {'ConcatNeck': 'baselines/concat', 'AMANeck': 'baselines/ama', 'MMDG': 'mmdg/mmdg'}
#: Regime -> end of the names of its configs.
REGIMES = {
    'scratch': '',
    'pretrained-frozen': '_pretrained-frozen',
    'pretrained-finetuned': '_pretrained-finetuned',
}
#: Lists of the labelled sites, below the folder of sites: both halves that the probe of a trunk knows.
SITES_LISTS = ('protocols/heldout-fit.csv', 'protocols/heldout-test.csv')


@dataclass(frozen=True)
class Cell:
    """One training."""

    method: str
    regime: str
    split: str
    seed: int

    @property
    def name(self) -> str:
        """Name of its folder and record."""
        return f'{self.method}_{self.regime}_{self.split}_seed{self.seed}'

    def load(self) -> Config:
        """Read its config."""
        stem = f'{METHODS[self.method]}_mini-vit_1xb32-12e_synthfas-cps2w{REGIMES[self.regime]}.py'
        return Config.fromfile(configs_folder() / stem)


@dataclass(frozen=True)
class StudySettings:
    """Where the study reads and writes.

    Args:
        records: Folder of the records.
        work_dir: Folder of the trainings.
        data_root: Folder of SynthFAS.
        sites: Folder of the random sites, see `mmfas data sites`.
    """

    records: str
    work_dir: str
    data_root: str
    sites: str


def choose_regime(
    splits: Sequence[str],
    seeds: Sequence[int],
    *,
    settings: StudySettings,
    num_jobs: int = 1,
    report: Callable[[str], None],
) -> list[dict[str, Any]]:
    """Train and judge what has no record.

    Args:
        splits: Splits of Protocol 1, whose train lists are the sources.
        seeds: Seeds of the trainings.
        settings: Where it is done.
        num_jobs: Processes at a time.
        report: Called with a line per finished cell.

    Returns:
        The records, methods and regimes in their order.

    Raises:
        FileNotFoundError: If data or sites are missing.
    """
    for path in (Path(settings.sites, name) for name in SITES_LISTS):
        if not path.is_file():
            raise MissingFileError(f"'{path}' is missing; render the sites: mmfas data sites {settings.sites}")
    cells = [Cell(*parts) for parts in product(METHODS, REGIMES, splits, seeds)]
    todo = [cell for cell in cells if _found(cell, settings) is None]
    for number, name in enumerate(in_processes(_run, [(cell, settings) for cell in todo], num_jobs), 1):
        report(f'{number}/{len(todo)} {name}')
    return [record for cell in cells if (record := _found(cell, settings)) is not None]


def _identity(cell: Cell, settings: StudySettings) -> dict[str, Any]:
    """Return what must be the same for a record to serve."""
    cfg = cell.load()
    return {
        **asdict(cell),
        'config_hash': config_hash(cfg),
        'weights': weights_identity(cfg.model.trunk.get('pretrained')),
        'data': data_identity(family_of(cfg), settings.data_root),
        'sites': [hashlib.sha256(Path(settings.sites, name).read_bytes()).hexdigest() for name in SITES_LISTS],
    }


def _file(cell: Cell, settings: StudySettings) -> Path:
    return Path(settings.records, f'{cell.name}.json')


def _found(cell: Cell, settings: StudySettings) -> dict[str, Any] | None:
    """Return the record of a cell, if there is one."""
    return read_run_record(_file(cell, settings), _identity(cell, settings))


def _run(cell: Cell, settings: StudySettings) -> str:
    """Train one cell, score the sites and write its record; return its name."""
    cfg = cell.load()
    use_data_root(cfg, settings.data_root)
    use_workers(cfg, 0)
    apply_split(cfg, family_of(cfg), protocol=1, split=cell.split)
    loader = cfg.test_dataloader.to_dict()
    loader['dataset'].update(data_root=settings.sites, ann_file=[*SITES_LISTS], meta_file=None)
    training = Training(f'{cell.method}_{cell.regime}', 1, cell.split, cell.seed, ())
    folder = Path(settings.work_dir, cell.name)
    cfg = training_config(cfg, training, str(folder), select='last', keep_all=False)
    train(cfg)
    prepare_scoring(cfg)
    model = load_model(cfg, str(folder / f'epoch_{num_epochs(cfg)}.pth'))
    scores = score_loader(model, build_loader(loader))
    assert scores is not None  # one process scores everything
    record = {**_identity(cell, settings), 'commit': commit(), 'auc': site_aucs(scores)}
    write_run_record(_file(cell, settings), record)
    return cell.name


def site_aucs(scores: ScoreTable) -> dict[str, float]:
    """Compute the area under the ROC curve within each site.

    A benchmark judges one domain at a time, so scores of different sites are not compared with each other.

    Args:
        scores: Scores of labelled sites.

    Returns:
        Site -> AUC, sites with one class left out.

    Raises:
        ValueError: If no site has both classes.
    """
    areas = {}
    for site in np.unique(scores.domain):
        rows = scores.domain == site
        if len(np.unique(scores.label[rows])) == 2:
            areas[str(site)] = float(auc(scores.score[rows], scores.is_live[rows]))
    if not areas:
        raise InputError('no validation site has live and attacks; render more frames a site')
    return areas


def regime_table(records: Sequence[dict[str, Any]]) -> tuple[tuple[str, ...], list[tuple[str, ...]], str]:
    """Make the table of a study and say which regime it favours.

    Args:
        records: Records of all cells.

    Returns:
        Header, rows, and the regime with the highest mean over the methods; of equal ones the first of `REGIMES`.

    Raises:
        ValueError: If a method was not trained in each regime as often as the others: means would not be of the
            same things.
    """
    found: dict[tuple[str, str], dict[tuple[str, int], float]] = {}
    for record in records:
        key = (record['regime'], record['method'])
        found.setdefault(key, {})[record['split'], record['seed']] = mean(record['auc'].values())
    runs = {frozenset(areas) for areas in found.values()}
    if len(runs) != 1 or len(found) != len(METHODS) * len(REGIMES):
        raise InputError('some cells have no record yet; run the study to its end before choosing')
    rows: list[tuple[str, ...]] = []
    means = {}
    for regime in REGIMES:
        areas = [mean(found[regime, method].values()) for method in METHODS]
        means[regime] = mean(areas)
        rows.append((regime, *(f'{area:.3f}' for area in areas), f'{means[regime]:.3f}'))
    return ('regime', *METHODS, 'mean'), rows, max(REGIMES, key=means.__getitem__)
