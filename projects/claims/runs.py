"""Train and score the cells of the claims; a record is a JSON file of one cell.

A cell with a record of the same config, weights and data is not done again, and a training that ended is not
repeated, so a run can be stopped at any time and continued.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from numpy.typing import NDArray

from mmfas.analysis.feature_space import features_of
from mmfas.apis.scoring import build_loader, load_model, load_samples, prepare_scoring, score_loader
from mmfas.apis.testing import site_loader
from mmfas.apis.training import train
from mmfas.benchmark import plan as benchmark_plan
from mmfas.benchmark.configs import (
    apply_split,
    family_of,
    num_epochs,
    training_config,
    use_data_root,
    use_workers,
)
from mmfas.benchmark.methods import config_hash
from mmfas.evaluation import ScoreRules, ScoreTable, evaluate_scores
from mmfas.synthfas import PERTURBATIONS_VERSION, Setting, render_dataset
from mmfas.synthfas.files.manifest import manifest_identity, render_command
from mmfas.utils.errors import InputError, MissingFileError
from mmfas.utils.files import write_atomically
from mmfas.utils.runs import commit, in_processes, load_records, write_run_record
from mmfas.utils.shipped import weights_identity
from projects.claims.plan import CLEAN, REGIME, SOURCES, Arm, Cell, Training, by_training, slug, stress_of

#: The threshold of the site: live videos of the target's val list, under the same condition as the test list.
SITE = 'site-5@bpcer=0.1'


@dataclass(frozen=True)
class RunSettings:
    """Where cells are run.

    Args:
        records: Folder of the records; those of a regime lie in a folder of its name.
        work_dir: Folder of the trainings, laid out alike.
        data_root: Folder of clean SynthFAS.
        perturbed: Folder that perturbed lists are rendered below.
        regime: One of `REGIMES`.
    """

    records: str
    work_dir: str
    data_root: str
    perturbed: str
    regime: str = REGIME

    def record(self, cell: Cell) -> Path:
        """Return the file of the record of a cell."""
        return Path(self.records, self.regime, f'{cell.name}.json')

    def folder(self, training: Training) -> Path:
        """Return the folder of a training."""
        return Path(self.work_dir, self.regime, training.name)

    def root(self, condition: str) -> str:
        """Return the folder of the data of a condition."""
        return self.data_root if condition in (CLEAN, SOURCES) else str(Path(self.perturbed, slug(condition)))


def run_cells(
    cells: Sequence[Cell], settings: RunSettings, *, num_jobs: int = 1, report: Callable[[str], None]
) -> None:
    """Render, train and score what has no record.

    Args:
        cells: The cells.
        settings: Where it is done.
        num_jobs: Processes at a time.
        report: Called with a line per finished cell.

    Raises:
        FileNotFoundError: If there is no clean data.
        ValueError: If the data are perturbed already.
    """
    todo = unfinished(cells, settings)
    render_perturbed(todo, settings, num_processes=num_jobs)
    calls = [(training, tuple(own), settings) for training, own in by_training(todo).items()]
    done = 0
    for lines in in_processes(run_training, calls, num_jobs):
        for line in lines:
            done += 1
            report(f'[{done}/{len(todo)}] {line}')


def unfinished(cells: Sequence[Cell], settings: RunSettings) -> list[Cell]:
    """Return the cells without a record."""
    if not Path(settings.data_root, 'manifest.json').is_file():
        command = render_command(settings.data_root)
        raise MissingFileError(f"'{settings.data_root}' holds no SynthFAS; render it: {command}")
    found, todo = load_records(Path(settings.records, settings.regime)), []
    for training, own in by_training(cells).items():
        identity = _plain(training_identity(training, settings))
        for cell in own:
            record = found.get(f'{cell.name}.json', {})
            if any(record.get(key) != value for key, value in _identity(cell, identity).items()):
                todo.append(cell)
    return todo


def render_perturbed(cells: Sequence[Cell], settings: RunSettings, *, num_processes: int) -> None:
    """Render the perturbed lists that cells read; what is there already is kept.

    Args:
        cells: The cells.
        settings: Where the clean data lie, and where perturbed ones belong.
        num_processes: Worker processes.

    Raises:
        ValueError: If the data are perturbed already.
    """
    base = manifest_identity(settings.data_root)
    if base['stress']:
        raise InputError(
            f"'{settings.data_root}' is perturbed by {base['stress']}, and perturbations start from clean data; "
            'name the folder of clean data (--data-root)'
        )
    wanted: dict[tuple[str, tuple[str, ...]], set[str]] = {}
    for cell in cells:
        sources, target = cell.training.split.upper().split('2')
        wanted.setdefault((cell.training.train, ('train', 'val')), set()).update(sources)
        wanted.setdefault((cell.test, ('val', 'test')), set()).update(target)
    for (condition, lists), domains in sorted(wanted.items()):
        if condition in (CLEAN, SOURCES):
            continue
        setting = Setting(base['size'], base['seed'], stress_of(condition), base['renderer_version'])
        folder, chosen = settings.root(condition), tuple(sorted(domains))
        render_dataset(folder, setting, domains=chosen, splits=lists, num_processes=num_processes)


def training_identity(training: Training, settings: RunSettings) -> dict[str, Any]:
    """Return what must be the same for a checkpoint to serve."""
    return {
        'arm': training.arm.name,
        'regime': settings.regime,
        'train': training.train,
        'split': training.split,
        'seed': training.seed,
        **_config_identity(training.arm, settings.regime),
        'data': manifest_identity(settings.data_root),
        'perturbations_version': PERTURBATIONS_VERSION,
    }


@cache
def _config_identity(arm: Arm, regime: str) -> dict[str, Any]:
    """Identify config and weights of an arm; read once, as every split and seed asks for them."""
    cfg = arm.load(regime)
    return {'config_hash': config_hash(cfg), 'weights': weights_identity(cfg.model.trunk.get('pretrained'))}


def _identity(cell: Cell, of_training: dict[str, Any]) -> dict[str, Any]:
    """Return what must be the same for a record to serve."""
    return {**of_training, 'test': cell.test}


def _plain(identity: dict[str, Any]) -> dict[str, Any]:
    """Return an identity as JSON gives it back."""
    return dict(json.loads(json.dumps(identity)))


def run_training(training: Training, cells: Sequence[Cell], settings: RunSettings) -> list[str]:
    """Train unless that is done, then score cells and write their records.

    Args:
        training: The training.
        cells: Its cells without a record.
        settings: Where it is done.

    Returns:
        One line per cell.
    """
    cfg = training.arm.load(settings.regime)
    use_data_root(cfg, settings.root(training.train))
    use_workers(cfg, 0)
    apply_split(cfg, family_of(cfg), protocol=1, split=training.split)
    identity = training_identity(training, settings)
    checkpoint, train_s = _trained(training, cfg, identity, settings)
    prepare_scoring(cfg)
    model = load_model(cfg, str(checkpoint))
    lines, code = [], commit()
    for cell in cells:
        start = time.perf_counter()
        values = domain_values(model, cfg) if cell.test == SOURCES else target_values(model, cfg, cell, settings)
        record = {
            **_identity(cell, identity),
            'values': values,
            'seconds': {'train': train_s, 'score': round(time.perf_counter() - start, 1)},
            'commit': code,
        }
        write_run_record(settings.record(cell), record)
        shown = ', '.join(f'{key} {100 * value:.1f}' for key, value in values.items())
        lines.append(f'{cell.name}: {shown} ({train_s:.0f} s of training)')
    return lines


def _trained(
    training: Training, cfg: Config, identity: dict[str, Any], settings: RunSettings
) -> tuple[Path, float]:
    """Return the last checkpoint of a training and the seconds it took; train if it is not there."""
    folder = settings.folder(training)
    checkpoint, made_with = folder / f'epoch_{num_epochs(cfg)}.pth', folder / 'made_with.json'
    # Written after the last checkpoint, so what a killed training has left is not taken for a whole one.
    if made_with.is_file() and checkpoint.is_file():
        found = json.loads(made_with.read_text(encoding='utf-8'))
        if found['identity'] == _plain(identity):
            return checkpoint, float(found['seconds'])
    made_with.unlink(missing_ok=True)
    start = time.perf_counter()
    one = benchmark_plan.Training(training.name, 1, training.split, training.seed, ())
    cfg = training_config(cfg, one, str(folder), select='last', keep_all=False)
    cfg.default_hooks.checkpoint.update(interval=num_epochs(cfg), max_keep_ckpts=1)
    train(cfg)
    seconds = round(time.perf_counter() - start, 1)
    write_atomically(made_with, json.dumps({'identity': identity, 'seconds': seconds}))
    return checkpoint, seconds


def target_values(model: Any, cfg: Config, cell: Cell, settings: RunSettings) -> dict[str, float]:
    """Judge a model on the test list of its target.

    Args:
        model: Trained model.
        cfg: Config with the split of the training.
        cell: Says under which condition; its seed draws the live videos of the site, the same for both arms.
        settings: Where the data lie.

    Returns:
        `auc`, and `hter` at the threshold of the site.
    """
    cfg = copy.deepcopy(cfg)
    cfg.test_dataloader.dataset.data_root = settings.root(cell.test)
    lists = list(cfg.test_dataloader.dataset.ann_file)
    site_lists = [name.replace('-test.', '-val.') for name in lists]
    test = _scores(model, cfg.test_dataloader)
    site = _scores(model, site_loader(cfg, site_lists))
    rules = ScoreRules(SITE, num_bootstrap=0, seed=cell.training.seed)
    report = evaluate_scores(test, site=site.take(site.is_live), rules=rules).to_dict()
    return {'auc': report['auc']['value'], 'hter': report['hter']['value']}


def _scores(model: Any, loader: Any) -> ScoreTable:
    """Score a list."""
    scores = score_loader(model, build_loader(loader))
    assert scores is not None  # one process scores everything
    return scores


def domain_values(model: Any, cfg: Config) -> dict[str, float]:
    """Measure how much of the joint feature tells the source domains apart.

    Args:
        model: Trained model.
        cfg: Config with the split of the training.

    Returns:
        `domain`: see `domain_part`, of the live samples on the val lists of the sources.
    """
    samples = load_samples(cfg, 'val_dataloader')
    table = features_of(model, samples, ['val'] * len(samples))
    is_live = table.pai == 'live'
    return {'domain': domain_part(table.features['fused'][is_live], table.domain[is_live])}


def domain_part(features: NDArray[np.float64], domain: NDArray[np.str_]) -> float:
    """Return the part of the variance of features that lies between domains; every domain counts alike.

    Args:
        features: Features (N, D).
        domain: Domain of each (N,), two of them at least.

    Returns:
        A number from 0 (the means of all domains are the same) to 1 (a domain is a point).

    >>> domain_part(np.array([[0.0], [2.0], [4.0], [6.0]]), np.array(['a', 'a', 'b', 'b']))
    0.8
    """
    groups = [features[domain == name] for name in np.unique(domain)]
    means = np.stack([group.mean(0) for group in groups])
    between = float(np.square(means - means.mean(0)).sum(1).mean())
    within = float(np.mean([np.square(group - group.mean(0)).sum(1).mean() for group in groups]))
    return between / (between + within)
