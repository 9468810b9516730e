"""Samples that are in two splits of a config, found from the lists before training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mmfas.datasets.verification import face_datasets_in, shared_files
from mmfas.registry import DATASETS, SCOPE

__all__ = ['overlaps_of']

_TRAIN, _DEV, _SITE = 'train_dataloader', 'val_dataloader', 'site_dataloader'


def overlaps_of(config: Mapping[str, Any], built: Mapping[str, Any] | None = None) -> tuple[list[str], list[str]]:
    """Compare the splits of a config by the files that their lists name; no picture is opened.

    Training and a test set must have no file in common. Training and dev may, as in a trial run that is to show
    that a model can learn its training data, and so may dev and test, as in published lists, which `mmfas test`
    refuses; both are noted. Repeats within one list do not matter.

    Args:
        config: Whole config as for Runner; `extra_test_dataloaders` are test sets, too.
        built: Data sets that are there already, by the name of their loader; the others are built.

    Returns:
        What is wrong, and what may be intended. A data set that cannot be built is wrong, unless it is a test set,
        whose data need not be where the training is.
    """
    problems, notes = [], []
    splits = dict(built or {})
    for place, loader in _loaders(config):
        if place in splits:
            continue
        if place not in (_TRAIN, _DEV) and not any(map(face_datasets_in, splits.values())):
            break  # nothing that names files, hence nothing to compare with
        try:
            splits[place] = DATASETS.build({'_scope_': SCOPE, **loader['dataset']})
        except Exception as error:  # a data set of a plug-in may do anything
            if place in (_TRAIN, _DEV):
                problems.append(f'{place}: {error}')
            else:
                notes.append(f'{place}: not compared with the training data, as it cannot be read here: {error}')
    for (one, other), shared in shared_files(splits).items():
        found = f'{one} and {other} have {len(shared)} samples in common, the first: {shared[0]}'
        if (one, other) == (_TRAIN, _DEV):
            notes.append(f'{found}; the best epoch and the threshold will be chosen on samples of the training')
        elif one == _TRAIN:
            problems.append(
                f'{found}; error rates on samples of the training mean nothing. Take them out of one list, as '
                "train_dataloader.dataset.clean='TEST LIST' does for this run, or train without this test set"
            )
        elif one in (_DEV, _SITE) and other != _SITE:
            notes.append(f'{found}; `mmfas test` will refuse to choose a threshold on test samples')
    return problems, notes


def _loaders(config: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield name and config of the loaders with a data set of their own, training first, tests last."""
    named = {key: config.get(key) for key in (_TRAIN, _DEV, _SITE, 'test_dataloader')}
    extra = config.get('extra_test_dataloaders') or {}
    for place, loader in (*named.items(), *((f'extra_test_dataloaders.{name}', extra[name]) for name in extra)):
        if isinstance(loader, Mapping) and isinstance(loader.get('dataset'), Mapping):
            yield place, loader
