"""Folds of a small data set: no person in two of them, every sample in exactly one."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmfas.datasets.face_dataset import MultiModalFaceDataset
from mmfas.datasets.list_writing import relative_record, write_list
from mmfas.datasets.protocols import UNKNOWN
from mmfas.structures import LIVE
from mmfas.utils.errors import InputError

__all__ = ['Fold', 'assign_folds', 'make_folds', 'write_folds']

#: One fold to test on, one that fixes the threshold, one to train on.
LEAST_FOLDS = 3


@dataclass(frozen=True)
class Fold:
    """One way to divide the data.

    Args:
        train: Samples to train on.
        val: Samples that fix the threshold: those of the next fold's test.
        test: Samples that are judged; those of all folds together are all samples.
    """

    train: tuple[Mapping[str, Any], ...]
    val: tuple[Mapping[str, Any], ...]
    test: tuple[Mapping[str, Any], ...]


def assign_folds(subjects: Sequence[Any], kinds: Sequence[str], *, num_folds: int, seed: int = 0) -> list[int]:
    """Divide samples into folds of about the same mixture, a person's samples always together.

    Args:
        subjects: Person of each sample (N,).
        kinds: What is to be mixed evenly, such as the attack instrument (N,).
        num_folds: Number of folds, at least 2.
        seed: Seed of the order in which persons are dealt out.

    Returns:
        Fold of each sample (N,), from 0.

    Raises:
        ValueError: If there are fewer persons than folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    persons = len(set(subjects))
    if persons < num_folds:
        raise InputError(f'{num_folds} folds need at least as many subjects, but there are {persons}; take fewer')
    if max(Counter(kinds).values()) < num_folds:
        kinds = [''] * len(kinds)  # too few of every kind to be mixed
    numbers = {subject: number for number, subject in enumerate(dict.fromkeys(subjects))}
    groups = [numbers[subject] for subject in subjects]
    dealer = StratifiedGroupKFold(num_folds, shuffle=True, random_state=seed)
    folds = [-1] * len(groups)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', UserWarning)  # of kinds with fewer samples than folds
        for fold, (_, members) in enumerate(dealer.split([[0]] * len(groups), list(kinds), groups)):
            for member in members:
                folds[member] = fold
    return folds


def make_folds(dataset: MultiModalFaceDataset, *, num_folds: int = 5, seed: int = 0) -> list[Fold]:
    """Divide a data set into folds by subject.

    Args:
        dataset: The data, with the subject of every sample.
        num_folds: Number of folds, at least 3.
        seed: Seed of the order in which persons are dealt out.

    Returns:
        The folds: each is once what is tested, and once what fixes the threshold of the fold before it.

    Raises:
        ValueError: If a subject is unknown, there are too few subjects, or a fold lacks live faces or attacks.
    """
    if num_folds < LEAST_FOLDS:
        raise InputError(f'folds must be at least {LEAST_FOLDS} (test, dev, training), got {num_folds}')
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    nameless = [info for info in infos if info['subject'] == UNKNOWN]
    if nameless:
        raise InputError(
            f'{len(nameless)} of {len(infos)} samples have no subject, the first is {nameless[0]["sample_id"]!r} '
            f'({nameless[0]["source_line"]}); fill in the column `subject`: a person in two folds would be tested '
            'by a model that has seen that person'
        )
    subjects = [(info['domain'], info['subject']) for info in infos]
    numbers = assign_folds(subjects, [info['pai'] for info in infos], num_folds=num_folds, seed=seed)
    parts = [tuple(i for i, n in zip(infos, numbers, strict=True) if n == fold) for fold in range(num_folds)]
    for fold, part in enumerate(parts):
        labels = {info['gt_label'] for info in part}
        if len(labels) < 2:
            lacking = 'no samples' if not labels else 'no attacks' if LIVE in labels else 'no live samples'
            raise InputError(
                f'fold {fold} would have {lacking}, so no error rate; take fewer folds or another --seed'
            )
    return [
        Fold(
            train=tuple(info for other in range(2, num_folds) for info in parts[(fold + other) % num_folds]),
            val=parts[(fold + 1) % num_folds],
            test=parts[fold],
        )
        for fold in range(num_folds)
    ]


def write_folds(folds: Sequence[Fold], out: str | Path, *, prefixes: Mapping[str, str]) -> list[Path]:
    """Write the lists of folds as CSV files for `MultiModalFaceDataset`.

    Args:
        folds: The folds.
        out: Folder for `fold0_train.csv`, `fold0_val.csv`, `fold0_test.csv` and so on.
        prefixes: Folders that paths in lists are relative to, `data_prefix` of the data set.

    Returns:
        The files.
    """
    written = []
    for number, fold in enumerate(folds):
        for name in ('train', 'val', 'test'):
            path = Path(out, f'fold{number}_{name}.csv')
            write_list(path, (relative_record(info, prefixes) for info in getattr(fold, name)))
            written.append(path)
    return written
