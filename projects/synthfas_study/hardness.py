"""How hard SynthFAS is: the runs of the hardness study and of the sweeps of perturbations, each kept as a record.

A record is a JSON file of one finished run; whatever has a record of the same config, data and seed is not run
again, so a study can be stopped at any time and continued.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmfas.structures import MODALITIES
from mmfas.synthfas.files.manifest import manifest_identity
from mmfas.utils.errors import RunError
from mmfas.utils.files import write_atomically
from mmfas.utils.runs import commit, in_processes, read_run_record, write_run_record

DOMAINS = ('C', 'P', 'S', 'W')


@dataclass(frozen=True)
class StudyRun:
    """One training of the baseline and the domains it is tested on.

    Args:
        name: Name of the run without its seed.
        sources: Domains whose train lists are trained on and whose val lists fix the threshold.
        targets: Domains whose test lists are reported.
        modalities: Modalities the model sees.
        random_labels: Train on labels that do not depend on the sample, as a check for leaks of the procedure.
        seed: Seed of the run.
    """

    name: str
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    modalities: tuple[str, ...] = MODALITIES
    random_labels: bool = False
    seed: int = 0

    @property
    def file_name(self) -> str:
        """Name of the run's record."""
        return f'{self.name}_s{self.seed}.json'


def hardness_runs(seeds: Iterable[int]) -> list[StudyRun]:
    """List the runs that say how hard the benchmark is.

    Args:
        seeds: Seeds; every run is repeated with all of them.

    Returns:
        Per seed: one in-domain run, four leave-one-domain-out runs with all modalities and with one alone, and
        four with random labels.

    >>> len(hardness_runs([0]))
    21
    """
    runs = []
    for seed in seeds:
        runs.append(StudyRun('in-domain', DOMAINS, DOMAINS, seed=seed))
        for target in DOMAINS:
            rest = tuple(d for d in DOMAINS if d != target)
            run = StudyRun(f'lodo-{"".join(rest).lower()}2{target.lower()}', rest, (target,), seed=seed)
            runs.append(run)
            runs += [replace(run, name=f'{run.name}_{m}', modalities=(m,)) for m in MODALITIES]
            runs.append(replace(run, name=f'{run.name}_random-labels', random_labels=True))
    return runs


def configure(base: Config, run: StudyRun, data_root: str, work_dir: str) -> tuple[Config, Config]:
    """Turn the baseline's config into those of one run.

    Args:
        base: Config of the baseline on some SynthFAS split.
        run: The run.
        data_root: Folder of the rendered benchmark.
        work_dir: Folder for checkpoints and logs.

    Returns:
        A config to train with, for the full length and without looking at dev or test on the way, and one to score
        with, which has the dev and test lists.
    """
    from mmfas.apis.training import skip_validation

    cfg = base.copy()
    cfg.work_dir, cfg.randomness, cfg.log_level = work_dir, dict(seed=run.seed), 'WARNING'
    cfg.experiment_name = f'{run.name}_s{run.seed}_{time.time_ns()}'  # mmengine keeps loggers by this name
    cfg.model.modalities = run.modalities
    cfg.train_dataloader.dataset.ann_file = [f'protocols/{d}-train.txt' for d in run.sources]
    cfg.val_dataloader.dataset.ann_file = [f'protocols/{d}-val.txt' for d in run.sources]
    loaders = {}
    for target in run.targets:
        loaders[target] = cfg.test_dataloader.copy()
        loaders[target].dataset = cfg.test_dataloader.dataset.copy()
        loaders[target].dataset.ann_file = [f'protocols/{target}-test.txt']
    for loader in (cfg.train_dataloader, cfg.val_dataloader, *loaders.values()):
        loader.dataset.update(data_root=data_root, modalities=run.modalities)
        loader.update(num_workers=0, persistent_workers=False)  # runs in parallel fill the cores already
    cfg.test_dataloader, cfg.extra_test_dataloaders = None, loaders
    if run.random_labels:
        pipeline = list(cfg.train_dataloader.dataset.pipeline)
        pipeline.insert(len(pipeline) - 1, dict(type='RandomLabel', seed=run.seed))
        cfg.train_dataloader.dataset.pipeline = pipeline
    scoring = cfg.copy()
    skip_validation(cfg)
    cfg.default_hooks.checkpoint.update(interval=cfg.train_cfg.max_epochs)
    cfg.test_cfg = cfg.test_evaluator = None
    return cfg, scoring


def run_one(base_file: str, run: StudyRun, data_root: str, work_dir: str, records: str) -> dict[str, Any]:
    """Train and test one run, or return its record where there is one.

    Args:
        base_file: Config file of the baseline.
        run: The run.
        data_root: Folder of the rendered benchmark.
        work_dir: Folder that holds one folder per run.
        records: Folder of the records.

    Returns:
        The record: the run, config hash, commit, renderer version, seconds, and one report per target.
    """
    from mmfas.apis.testing import test
    from mmfas.evaluation import ScoreRules

    identity = dict(run=asdict(run), config=config_text_hash(base_file), data=manifest_identity(data_root))
    done = read_run_record(Path(records, run.file_name), identity)
    if done is not None:
        return done
    start = time.perf_counter()
    checkpoint, scoring = train_run(base_file, run, data_root, work_dir)
    train_s = time.perf_counter() - start
    rules = ScoreRules.from_config(scoring, num_bootstrap=200)
    result = test(scoring, str(checkpoint), checkpoint.parent / 'test', rules=rules, plots=False)
    if result is None:
        raise RunError('only the main process has a result; run the study in one process')
    record = {
        **identity,
        'commit': commit(),
        'train_s': round(train_s, 1),
        'total_s': round(time.perf_counter() - start, 1),
        'reports': {r.name.removeprefix('test-'): r.to_dict() for r in result.reports},
    }
    write_run_record(Path(records, run.file_name), record)
    return record


def run_folder(run: StudyRun, work_dir: str) -> Path:
    """Return the folder of a run."""
    return Path(work_dir, f'{run.name}_s{run.seed}')


def train_run(base_file: str, run: StudyRun, data_root: str, work_dir: str) -> tuple[Path, Config]:
    """Train one run for its full length, unless its last checkpoint is there already.

    Args:
        base_file: Config file of the baseline.
        run: The run.
        data_root: Folder of the rendered benchmark.
        work_dir: Folder that holds one folder per run.

    Returns:
        The last checkpoint, and the config to score it with.
    """
    from mmfas.apis.training import resume_from, train

    folder = run_folder(run, work_dir)
    cfg, scoring = configure(Config.fromfile(base_file), run, data_root, str(folder))
    # A checkpoint counts for this very config and data only: the mark beside it says which it was made with.
    mark = json.dumps(dict(config=config_text_hash(base_file), data=manifest_identity(data_root), run=asdict(run)))
    checkpoint, made_with = folder / f'epoch_{cfg.train_cfg.max_epochs}.pth', folder / 'made_with.json'
    fits = made_with.is_file() and made_with.read_text(encoding='utf-8') == mark
    if not (fits and checkpoint.is_file()):
        if fits:
            resume_from(cfg, 'auto')
        write_atomically(made_with, mark)
        train(cfg)
    return checkpoint, scoring


def config_text_hash(base_file: str) -> str:
    """Return a hash of what a config says, whatever file it came from."""
    return hashlib.sha256(Config.fromfile(base_file).pretty_text.encode()).hexdigest()[:12]


def run_all(
    runs: list[StudyRun],
    base_file: str,
    data_root: str,
    work_dir: str,
    records: str,
    *,
    jobs: int = 1,
    report: Callable[[str], None] | None = None,
) -> list[dict[str, Any]]:
    """Do every run that has no record yet.

    Args:
        runs: The runs.
        base_file: Config file of the baseline.
        data_root: Folder of the rendered benchmark.
        work_dir: Folder for checkpoints and logs.
        records: Folder of the records.
        jobs: Number of processes; each has one thread, which for models this small is the faster way.
        report: Called with one line per finished run.

    Returns:
        The records, in the order in which the runs ended.
    """
    done = []
    places = (base_file, data_root, work_dir, records)
    for record in in_processes(run_one, [(base_file, run, *places[1:]) for run in runs], jobs):
        done.append(record)
        if report is not None:
            name, seed = record['run']['name'], record['run']['seed']
            areas = ' '.join(f'{k} {r["auc"]["value"]:.3f}' for k, r in record['reports'].items())
            report(f'[{len(done)}/{len(runs)}] {name} seed {seed}: AUC {areas} ({record["total_s"]:.0f} s)')
    return done
