"""What the perturbations of SynthFAS do: models trained on clean data, tested on perturbed test lists."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmengine.config import Config

from mmfas.synthfas.files.manifest import manifest_identity
from mmfas.utils.errors import InputError, RunError
from mmfas.utils.runs import commit, in_processes, read_run_record, write_run_record
from projects.synthfas_study.hardness import DOMAINS, StudyRun, config_text_hash, configure, run_folder, train_run

if TYPE_CHECKING:
    from mmfas.synthfas import Setting

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class SweepStep:
    """One perturbation at one strength, scored by the in-domain models of several seeds.

    Args:
        perturbation: Its name.
        strength: Its strength in [0, 1].
        seeds: Seeds of the models.
    """

    perturbation: str
    strength: float
    seeds: tuple[int, ...]

    @property
    def file_name(self) -> str:
        """Name of the record; files and keys of records keep the word `dial`."""
        return f'dial-{self.perturbation}-{self.strength:.2f}.json'


def sweep_steps(seeds: Iterable[int]) -> list[SweepStep]:
    """List every perturbation at every strength."""
    from mmfas.synthfas import PERTURBATIONS

    return [SweepStep(name, strength, tuple(seeds)) for name in PERTURBATIONS for strength in STRENGTHS]


def run_sweeps(
    sweeps: list[SweepStep],
    base_file: str,
    data_root: str,
    work_dir: str,
    records: str,
    *,
    jobs: int = 1,
    report: Callable[[str], None] | None = None,
) -> list[dict[str, Any]]:
    """Do every sweep that has no record yet; models that are not there are trained first.

    Args:
        sweeps: Perturbations and strengths.
        base_file: Config file of the baseline.
        data_root: Folder of the clean benchmark; perturbed test lists are rendered beside it.
        work_dir: Folder for checkpoints, as in the hardness study.
        records: Folder of the records.
        jobs: Number of processes.
        report: Called with one line per finished sweep.

    Returns:
        The records, in the order in which the sweeps ended.
    """
    from mmfas.synthfas.files.manifest import load_manifest

    for sweep in sweeps:  # what cannot be rendered is refused before hours of training
        load_manifest(*_perturbed(sweep, data_root))
    seeds = sorted({seed for sweep in sweeps for seed in sweep.seeds})
    models = [StudyRun('in-domain', DOMAINS, DOMAINS, seed=seed) for seed in seeds]
    list(in_processes(train_run, [(base_file, run, data_root, work_dir) for run in models], jobs))
    done = []
    for record in in_processes(
        run_sweep, [(base_file, sweep, data_root, work_dir, records) for sweep in sweeps], jobs
    ):
        done.append(record)
        if report is not None:
            areas = [area for seed in record['auc'].values() for area in seed.values()]
            mean = sum(areas) / len(areas)
            report(f'[{len(done)}/{len(sweeps)}] {record["dial"]} {record["step"]:.2f}: mean AUC {mean:.3f}')
    return done


def run_sweep(base_file: str, sweep: SweepStep, data_root: str, work_dir: str, records: str) -> dict[str, Any]:
    """Render the perturbed test lists and score them, or return the record where there is one.

    Args:
        base_file: Config file of the baseline.
        sweep: Perturbation, strength and seeds.
        data_root: Folder of the clean benchmark.
        work_dir: Folder of the trained models.
        records: Folder of the records.

    Returns:
        The record: perturbation, strength and, per seed and domain, the AUC of all test scores.
    """
    from mmfas.synthfas import PERTURBATIONS_VERSION

    file = Path(records, sweep.file_name)
    identity = dict(
        dial=sweep.perturbation,
        step=sweep.strength,
        seeds=sweep.seeds,
        dials_version=PERTURBATIONS_VERSION,
        config=config_text_hash(base_file),
        data=manifest_identity(data_root),
    )
    done = read_run_record(file, identity)
    if done is not None:
        return done
    perturbed = render_perturbed(sweep, data_root)
    auc = {str(seed): _score(base_file, seed, perturbed, work_dir) for seed in sweep.seeds}
    record = {**identity, 'commit': commit(), 'auc': auc}
    write_run_record(file, record)
    return record


def render_perturbed(sweep: SweepStep, data_root: str) -> str:
    """Render the perturbed test lists beside the clean data; strength 0 is the clean data itself.

    Args:
        sweep: Perturbation and strength.
        data_root: Folder of the clean benchmark.

    Returns:
        Folder of the test lists.

    Raises:
        ValueError: If the base is perturbed already, or of a renderer that is not known here.
    """
    from mmfas.synthfas import render_dataset

    folder, setting = _perturbed(sweep, data_root)
    if sweep.strength > 0:
        render_dataset(folder, setting, splits=('test',))
    return str(folder)


def _perturbed(sweep: SweepStep, data_root: str) -> tuple[Path, Setting]:
    """Return folder and setting of the perturbed data; see `render_perturbed`."""
    from mmfas.synthfas import Setting, parse_stress

    base = manifest_identity(data_root)
    if base['stress']:
        raise InputError(
            f'{data_root} holds data with the perturbations {base["stress"]}, but a sweep starts from clean data; '
            'render them into another folder'
        )
    stress = parse_stress([f'{sweep.perturbation}={sweep.strength}'] if sweep.strength else [])
    folder = f'{data_root.rstrip("/")}_{sweep.perturbation}-{sweep.strength:.2f}' if sweep.strength else data_root
    return Path(folder), Setting(base['size'], base['seed'], stress, base['renderer_version'])


def _score(base_file: str, seed: int, data_root: str, work_dir: str) -> dict[str, float]:
    """Return the AUC of one model on the test list of each domain in a folder."""
    from mmfas.apis.scoring import build_loader, load_model, prepare_scoring, score_loader
    from mmfas.evaluation.functional import auc

    run = StudyRun('in-domain', DOMAINS, DOMAINS, seed=seed)
    folder = run_folder(run, work_dir)
    cfg, scoring = configure(Config.fromfile(base_file), run, data_root, str(folder))
    prepare_scoring(cfg)
    model = load_model(cfg, str(folder / f'epoch_{cfg.train_cfg.max_epochs}.pth'))
    areas = {}
    for domain, loader in scoring.extra_test_dataloaders.items():
        table = score_loader(model, build_loader(loader))
        if table is None:
            raise RunError('only the main process has scores; run the study in one process')
        areas[domain] = float(auc(table.score, table.is_live))
    return areas
