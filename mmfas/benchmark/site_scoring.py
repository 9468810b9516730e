"""Scores of live videos of the target, from the lists beside its test list."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from mmengine.config import Config

from mmfas.apis.scoring import build_loader, load_trained_model, prepare_scoring, score_loader
from mmfas.apis.testing import site_loader
from mmfas.benchmark.site import LISTS
from mmfas.evaluation import ScoreTable


def site_loaders(cfg: Config) -> dict[str, dict[str, Any]]:
    """Make the loaders of the live videos that set a threshold; those of the test set with other lists.

    Args:
        cfg: Config with the split of a cell, so that the same modalities are missing as in its test set.

    Returns:
        Loader by the name of its scores; lists that are not there are left out.
    """
    tests = cfg.test_dataloader.dataset.ann_file
    names = [PurePosixPath(name) for name in ([tests] if isinstance(tests, str) else tests)]
    root = cfg.test_dataloader.dataset.data_root
    found = {}
    for scores, split in LISTS.items():
        lists = [str(name.with_name(name.name.replace('-test.', f'-{split}.'))) for name in names]
        there = [name for name in lists if Path(root, name).is_file()]
        if there and not set(there) & set(map(str, names)):
            found[scores] = site_loader(cfg, there)
    return found


def score_sites(cfg: Config, checkpoint: str) -> dict[str, ScoreTable]:
    """Score live videos of the target; what else is on these lists is dropped.

    Args:
        cfg: Config with the split of a cell.
        checkpoint: File with the weights.

    Returns:
        Scores of live frames by name, in the order of the lists; none where a list has no live frame.
    """
    loaders = site_loaders(cfg)
    if not loaders:
        return {}
    prepare_scoring(cfg)
    model, _ = load_trained_model(cfg, checkpoint)
    found = {}
    for name, loader in loaders.items():
        table = score_loader(model, build_loader(loader), allow_duplicates=True)
        if table is not None and table.num_live:
            found[name] = table.take(table.is_live)
    return found
