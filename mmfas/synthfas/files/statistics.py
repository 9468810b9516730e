"""Statistics of a rendered folder per domain: intensity, depth range, holes; and the probe for shortcut leaks."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from mmfas.synthfas.files.layout import list_name
from mmfas.utils.errors import InputError
from mmfas.utils.files import atomic_file

__all__ = [
    'FEATURES',
    'FolderStatistics',
    'join_statistics',
    'linear_probe_auc',
    'plot_statistics',
    'read_statistics',
]

#: Features per sample: mean, standard deviation and file size of each modality (P: one file size for all).
FEATURES: tuple[str, ...] = (
    'rgb_mean', 'rgb_std', 'rgb_bytes', 'depth_mean', 'depth_std', 'depth_bytes', 'ir_mean', 'ir_std', 'ir_bytes',
    'depth_range', 'depth_holes',
)  # fmt: skip
_PROBED = 9


@dataclass(frozen=True)
class FolderStatistics:
    """Features of one list: `values` (N, F) as in `FEATURES`, `labels` (N,), `pais` and `videos`."""

    values: np.ndarray
    labels: np.ndarray
    pais: tuple[str, ...]
    videos: tuple[str, ...]


def _load(root: Path, line: str) -> tuple[list[np.ndarray], list[int]]:
    """Read the three pictures of a list line and their file sizes."""
    names = line.split()[:-1]
    if len(names) == 1:
        path = root / 'PADISI' / names[0]
        with np.load(path) as archive:
            data = np.asarray(archive['data'][0], np.float32) * 255.0
        return [data[:3], data[4], data[3]], [path.stat().st_size] * 3
    paths = [root / name for name in names]
    pictures = []
    for path in paths:
        picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if picture is None:
            raise InputError(f'{path} is missing or not a picture; render the folder again, or with --verify')
        pictures.append(picture.astype(np.float32))
    return pictures, [path.stat().st_size for path in paths]


def _features(root: Path, line: str) -> list[float]:
    """Compute the features of one sample."""
    pictures, sizes = _load(root, line)
    row: list[float] = []
    for picture, size in zip(pictures, sizes):
        row += [float(picture.mean()), float(picture.std()), float(size)]
    depth = pictures[1]
    valid = depth[depth > 12]
    spread = float(np.subtract(*np.percentile(valid, (95, 5)))) if valid.size else 0.0
    return [*row, spread, float((depth <= 12).mean())]


def read_statistics(root: str | Path, domain: str, split: str) -> FolderStatistics:
    """Read one list of a rendered folder.

    Args:
        root: Folder of the data.
        domain: 'C', 'P', 'S' or 'W'.
        split: 'train', 'val' or 'test'.

    Returns:
        Features, labels, instruments and videos, in the order of the list.
    """
    root = Path(root)
    with open(root / 'protocols' / 'records.csv', newline='') as file:
        known = {row['sample_id']: row for row in csv.DictReader(file)}
    lines = (root / list_name(domain, split)).read_text().split('\n')
    lines = [line.strip() for line in lines if line.strip()]
    rows = [known[line.split()[0]] for line in lines]
    values = np.array([_features(root, line) for line in lines], np.float64)
    labels = np.array([int(row['label']) for row in rows])
    return FolderStatistics(values, labels, tuple(row['pai'] for row in rows), tuple(row['video'] for row in rows))


def join_statistics(parts: Sequence[FolderStatistics]) -> FolderStatistics:
    """Concatenate lists of one folder; a video is in one split only."""
    return FolderStatistics(
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.labels for part in parts]),
        tuple(pai for part in parts for pai in part.pais),
        tuple(video for part in parts for video in part.videos),
    )


def _auc(scores: np.ndarray, labels: np.ndarray) -> float:
    """Area under the ROC curve by ranks, ties counted half."""
    order = np.argsort(scores, kind='stable')
    ranks = np.empty(len(scores))
    _, inverse, counts = np.unique(scores[order], return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks[order] = (ends - (counts - 1) / 2.0)[inverse]
    positives = labels == 1
    num_live, num_spoof = int(positives.sum()), int((~positives).sum())
    return float((ranks[positives].sum() - num_live * (num_live + 1) / 2) / (num_live * num_spoof))


def linear_probe_auc(statistics: FolderStatistics, *, num_folds: int = 5, ridge: float = 3.0) -> float:
    """Measure how well mean, standard deviation and file size alone tell live from spoof.

    A ridge regression on the standardised features, cross-validated over videos, so that frames of one video are
    never on both sides. Balanced classes by weights.

    Args:
        statistics: Those of one list.
        num_folds: Number of folds.
        ridge: Strength of the penalty, in samples.

    Returns:
        The AUC of the held-out scores, 0.5 = nothing leaks; below 0.5 is chance, too.

    Raises:
        ValueError: If live or spoof lies in one video only, so that some fold has one class.
    """
    labels = statistics.labels
    counts = [
        len({video for video, found in zip(statistics.videos, labels) if found == label}) for label in (1, 0)
    ]
    if min(counts) < 2:
        raise InputError(
            f'the probe needs two videos of each class, got {counts[0]} of live and {counts[1]} of spoof'
        )
    values = statistics.values[:, :_PROBED]
    videos = {video: index for index, video in enumerate(dict.fromkeys(statistics.videos))}
    fold = np.array([videos[video] % num_folds for video in statistics.videos])
    scores = np.empty(len(labels))
    for number in range(num_folds):
        train, test = fold != number, fold == number
        if len(set(labels[train])) < 2:
            raise InputError(f'all videos of one class fall into fold {number}; probe a longer list')
        mean, std = values[train].mean(0), values[train].std(0) + 1e-9
        weight = np.where(labels[train] == 1, 0.5 / labels[train].mean(), 0.5 / (1 - labels[train].mean()))
        design = np.column_stack([(values[train] - mean) / std, np.ones(train.sum())])
        weighted = design * weight[:, None]
        penalty = ridge * np.eye(design.shape[1])
        solution = np.linalg.solve(design.T @ weighted + penalty, weighted.T @ (2.0 * labels[train] - 1.0))
        scores[test] = np.column_stack([(values[test] - mean) / std, np.ones(test.sum())]) @ solution
    return _auc(scores, labels)


def plot_statistics(path: str | Path, root: str | Path, *, split: str = 'test') -> None:
    """Plot the features of every domain as box plots, live beside spoof.

    Args:
        path: PNG file to write.
        root: Folder of the data; domains whose list is missing are left out.
        split: Which lists are read.

    Raises:
        ValueError: If the folder has no list of the split, or the file name does not end in `.png`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from mmfas.synthfas.plan.domains import DOMAINS

    if Path(path).suffix != '.png':
        raise InputError(f'{path}: the plot is a PNG; let its name end in .png')
    domains = [domain for domain in DOMAINS if (Path(root) / list_name(domain, split)).is_file()]
    if not domains:
        raise InputError(f'{root} has no list of the split {split!r}; render it first')
    found = {domain: read_statistics(root, domain, split) for domain in domains}
    shown = ('rgb_mean', 'rgb_std', 'ir_mean', 'ir_std', 'depth_range', 'depth_holes')
    figure = Figure(figsize=(11, 5.4), layout='constrained')
    for number, name in enumerate(shown):
        axes = figure.add_subplot(2, 3, number + 1)
        column = FEATURES.index(name)
        for place, domain in enumerate(domains):
            for label, colour in ((1, 'tab:green'), (0, 'tab:red')):
                picked = found[domain].values[found[domain].labels == label, column]
                box = axes.boxplot(
                    picked, positions=[place + 0.2 - 0.4 * label], widths=0.32, showfliers=False, patch_artist=True
                )
                box['boxes'][0].set_facecolor(colour)
        axes.set_xticks(range(len(domains)), domains)
        axes.set_title(name.replace('_', ' '))
    figure.suptitle(f'SynthFAS {split}: live (green) and spoof (red) per domain')
    with atomic_file(path) as stream:
        FigureCanvasAgg(figure).print_png(stream)
