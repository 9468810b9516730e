"""Testing: from a config and a checkpoint to score files, a report and figures."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.dist import is_main_process
from mmengine.logging import print_log
from torch.utils.data import DataLoader

from mmfas.apis.scoring import ScoreError, build_loader, load_trained_model, prepare_scoring, score_loader
from mmfas.apis.test_time import use_views, wrap_for_views
from mmfas.datasets.classes import require_both_classes
from mmfas.datasets.verification import shared_files
from mmfas.evaluation import FASReport, ScoreRules, ScoreTable, dev_threshold, evaluate_scores, summarise
from mmfas.evaluation.attributes import join_attributes
from mmfas.evaluation.score_files import read_failures
from mmfas.evaluation.site import choose_at_site
from mmfas.utils.checkpoint import Origin
from mmfas.utils.errors import InputError
from mmfas.utils.files import write_atomically
from mmfas.utils.locks import lock_folder_of_ranks
from mmfas.version import __version__


@dataclass(frozen=True)
class ScoringResult:
    """What a test run found.

    Args:
        reports: One report per test set, in the order of the config.
        tables: Scores by test set name.
        dev: Scores that fixed the threshold; None without a dev split.
        files: Every file that was written, by what it is.
        site: Scores of live videos of the target; None without a site.
    """

    reports: tuple[FASReport, ...]
    tables: dict[str, ScoreTable]
    dev: ScoreTable | None
    files: dict[str, Path] = field(default_factory=dict)
    site: ScoreTable | None = None

    def summary(self) -> str:
        """Return one table with a row per test set, for a terminal."""
        return summarise(self.reports)


@dataclass(frozen=True)
class _FurtherScores:
    """What joins the scores of a test set: columns from a file, and presentations without a score."""

    attributes: str | None
    failures: list[dict[str, Any]]
    first: str

    def added_to(self, name: str, table: ScoreTable) -> ScoreTable:
        """Return the table of a test set, or of dev, with what belongs to it."""
        if name == self.first and self.failures:
            rows = [*table.to_records(), *self.failures]
            table = ScoreTable.from_records(rows, allow_duplicates=table.allow_duplicates)
        return table if self.attributes is None or name == 'dev' else join_attributes(table, self.attributes)


def named_test_loaders(cfg: Config) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name every test set of a config.

    Args:
        cfg: Config with `test_dataloader` (named `'test'`) and, optionally, `extra_test_dataloaders`.

    Yields:
        Name and loader config.
    """
    if cfg.get('test_dataloader'):
        yield 'test', cfg.test_dataloader
    for name, loader in (cfg.get('extra_test_dataloaders') or {}).items():
        yield f'test-{name}', loader


def site_loader(cfg: Config, lists: Sequence[str]) -> ConfigDict:
    """Make the loader of other lists that are read like the test set: a `site_dataloader`.

    Args:
        cfg: Config with `test_dataloader`, whose data set reads lists.
        lists: Names as in `ann_file` of the test set.

    Returns:
        The loader's config.

    Raises:
        ScoreError: If the config has no test set, or one without lists.
    """
    loader = copy.deepcopy(cfg.get('test_dataloader'))
    if not loader or 'ann_file' not in loader.get('dataset', {}):
        raise ScoreError(
            'lists of the site are read like those of the test set, and test_dataloader.dataset has no ann_file; '
            'give the config site_dataloader=dict(...)'
        )
    loader.dataset.ann_file = list(lists)
    return loader


def test(
    cfg: Config,
    checkpoint: str,
    out_dir: str | Path,
    *,
    dev_scores: str | None = None,
    site_scores: str | None = None,
    rules: ScoreRules | None = None,
    attributes: str | None = None,
    failures: str | None = None,
    plots: bool = True,
    tta: bool = False,
    amp: bool = False,
) -> ScoringResult | None:
    """Score the dev split and every test set, and write the report.

    The dev scores come from `val_dataloader` and fix the threshold, which is then applied to every test set.
    A `site_dataloader` with live recordings of the target is scored, too; the criterion `'site'` reads it.
    Written are `dev.csv`, `site.csv`, `test.csv` (`test-<name>.csv` for the extra ones), `report.json`,
    `report.md`, figures.
    All data sets are found before the first is scored, and scores are kept as files even if no report can be made.

    Args:
        cfg: Whole config; check it first with `mmfas.apis.check_config`.
        checkpoint: File with the weights.
        out_dir: Folder for the files.
        dev_scores: Score file of the dev split, instead of scoring it again.
        site_scores: Score file of the site, likewise.
        rules: How scores become numbers; those of the config's `val_evaluator` if None.
        attributes: CSV file with further columns by sample, video or subject, for the groups of the rules; that of
            the config's `val_evaluator` if None.
        failures: Score file of presentations of the first test set that have no score but a reason.
        plots: Draw the figures.
        tta: Score several views of every sample, dev too, and take the mean; see `mmfas.apis.test_time`.
        amp: Compute in mixed precision: half on an accelerator, bfloat16 on a CPU.

    Returns:
        The result; None in every process but the main one.

    Raises:
        ScoreError: If the config has no test set, dev and test share samples, or dev lacks a class.
        ValueError: If `out_dir` is a file.
        BusyError: If another process writes into `out_dir`.
        FileNotFoundError: If a file does not exist.
        CheckpointError: If the checkpoint is damaged, refused or does not fit.
    """
    cfg = use_views(cfg) if tta else cfg
    loaders = dict(named_test_loaders(cfg))
    if not loaders:
        raise ScoreError('the config has no test set: give it test_dataloader=dict(...)')
    rules = rules or ScoreRules.from_config(cfg)
    dev, site, out_dir = _read_dev(dev_scores, rules), _read_site(site_scores, rules), _check_folder(out_dir)
    if rules.parsed.kind == 'site' and site is None and not cfg.get('site_dataloader'):
        raise ScoreError(
            f"the criterion '{rules.criterion}' needs live videos of the target: give --site-list LIST or "
            '--site-scores SITE.csv (site_scores=), or the config site_dataloader=dict(...)'
        )
    further = _FurtherScores(
        attributes or ScoreRules.arguments_of_metric(cfg).get('attributes'),
        [] if failures is None else read_failures(failures),
        first=next(iter(loaders)),
    )
    prepare_scoring(cfg)
    with lock_folder_of_ranks(out_dir, 'give another --out'):
        given = {'dev': dev, 'site': site}
        return _test(
            cfg, checkpoint, out_dir, loaders, given, rules=rules, further=further, plots=plots, tta=tta, amp=amp
        )


test.__test__ = False  # type: ignore[attr-defined]


def _test(
    cfg: Config,
    checkpoint: str,
    out_dir: Path,
    loaders: dict[str, dict[str, Any]],
    given: dict[str, ScoreTable | None],
    *,
    rules: ScoreRules,
    further: _FurtherScores,
    plots: bool,
    tta: bool,
    amp: bool,
) -> ScoringResult | None:
    """Score, and write all files."""
    model, origin = load_trained_model(cfg, checkpoint)
    model = wrap_for_views(cfg, model) if tta else model
    beside = {'dev': cfg.get('val_dataloader'), 'site': cfg.get('site_dataloader')}
    loaders = {**{name: loader for name, loader in beside.items() if loader and given[name] is None}, **loaders}
    built = {name: build_loader(loader) for name, loader in loaders.items()}
    _refuse_shared_files(built)
    if 'dev' in built and rules.parsed.kind != 'fixed':
        try:
            require_both_classes(built['dev'].dataset, 'val_dataloader')
        except ValueError as error:
            raise ScoreError(str(error)) from error
    tables: dict[str, ScoreTable] = {}
    files: dict[str, Path] = {}
    for name, table in given.items():
        files.update({} if table is None else _write_scores(out_dir, name, table))
    for name in loaders:
        # Taken out, so that the workers of a loader end with it.
        table = score_loader(model, built.pop(name), allow_duplicates=rules.allow_duplicates, amp=amp)
        if table is not None:
            tables[name] = table = further.added_to(name, table)
            files.update(_write_scores(out_dir, name, table))
    if not is_main_process():
        return None
    dev, site = (tables.pop(name, given[name]) for name in ('dev', 'site'))
    reports = _judge(tables, dev, site, rules)
    ways = {name: True for name, used in (('tta', tta), ('amp', amp)) if used}
    files.update(_write_report(out_dir, reports, {**_origin(cfg, origin), **ways}))
    if plots:
        files.update(_draw(out_dir, reports, tables, dev, site, rules))
    return ScoringResult(reports, tables, dev, files, site)


def _read_dev(path: str | None, rules: ScoreRules) -> ScoreTable | None:
    """Find what is wrong with a given score file before anything is scored."""
    if path is None:
        return None
    try:
        dev = ScoreTable.from_csv(path, allow_duplicates=rules.allow_duplicates)
        dev_threshold(dev, rules.of_dev)
    except ValueError as error:
        raise ScoreError(f"'{path}': {error}") from error
    return dev


def _read_site(path: str | None, rules: ScoreRules) -> ScoreTable | None:
    """Find what is wrong with a given score file of the site before anything is scored."""
    if path is None:
        return None
    try:
        site = ScoreTable.from_csv(path, allow_duplicates=rules.allow_duplicates)
        choose_at_site(site, rules)
    except ValueError as error:
        raise ScoreError(f"'{path}': {error}") from error
    return site


def _check_folder(path: str | Path) -> Path:
    """Raise if the output folder is a file, before anything is scored."""
    folder = Path(path)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"the results cannot go into '{folder}', which is a file; give --out a folder")
    return folder


def _judge(
    tables: dict[str, ScoreTable], dev: ScoreTable | None, site: ScoreTable | None, rules: ScoreRules
) -> tuple[FASReport, ...]:
    """Make one report per test set."""
    try:
        return tuple(
            evaluate_scores(table, dev=dev, site=site, rules=rules, name=name) for name, table in tables.items()
        )
    except ValueError as error:
        raise ScoreError(str(error)) from error


def _origin(cfg: Config, weights: Origin) -> dict[str, Any]:
    """Say where the numbers come from."""
    return dict(
        config=cfg.filename,
        checkpoint=weights.path,
        sha256=weights.sha256,
        epoch=weights.meta.get('epoch'),
        seed=weights.meta.get('seed'),
        mmfas_version=__version__,
    )


def _refuse_shared_files(loaders: Mapping[str, DataLoader]) -> None:
    """Raise if what fixes the threshold shares files with a test set, before anything is scored."""
    fixing = {'dev': 'val_dataloader', 'site': 'site_dataloader'}
    if not any(name in loaders for name in fixing):
        return
    for (one, name), shared in shared_files({name: loader.dataset for name, loader in loaders.items()}).items():
        if one in fixing and name not in fixing:
            raise ScoreError(
                f'{len(shared)} samples are in both {one} and {name}, the first: {shared[0]}; a threshold chosen '
                f'on test samples is an oracle. Give {fixing[one]} other samples, or set it to None'
            )


def _write_scores(out_dir: Path, name: str, table: ScoreTable) -> dict[str, Path]:
    """Write a score file; return its path by what it is. Only the main process writes."""
    path = out_dir / f'{name}.csv'
    if is_main_process():
        table.to_csv(path)
    return {f'{name} scores': path}


def _write_report(out_dir: Path, reports: tuple[FASReport, ...], origin: dict[str, Any]) -> dict[str, Path]:
    """Write the report as JSON and as Markdown; return their paths."""
    files = {}
    files['report (JSON)'], files['report'] = out_dir / 'report.json', out_dir / 'report.md'
    content = dict(origin=origin, reports=[report.to_dict() for report in reports])
    write_atomically(files['report (JSON)'], json.dumps(content, indent=2, allow_nan=False) + '\n')
    lines = ['# Test report', '', *(f'* {key}: `{value}`' for key, value in origin.items()), '']
    lines += [summarise(reports, markdown=True), '', *(report.markdown() for report in reports)]
    write_atomically(files['report'], '\n'.join(lines))
    return files


def _draw(
    out_dir: Path,
    reports: tuple[FASReport, ...],
    tables: dict[str, ScoreTable],
    dev: ScoreTable | None,
    site: ScoreTable | None,
    rules: ScoreRules,
) -> dict[str, Path]:
    """Draw every figure that the scores define; matplotlib is imported here because that is slow."""
    from mmfas.visualization import save_score_plots

    point = reports[0].operating
    fixed = point.threshold if point is not None and dev is None else None
    print_log('Drawing ROC, DET, histogram and error bars', logger='current')
    if rules.parsed.kind == 'site':
        return save_score_plots(tables, out_dir, dev=dev, site=site, rules=rules)
    return save_score_plots(tables, out_dir, dev=dev, threshold=fixed, rules=rules)
