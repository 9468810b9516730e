"""What a model makes of many samples: their features, and those features in a plane.

Legend: N samples, M modalities, D width of the joint feature, C width of one modality's.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from numpy.typing import NDArray

from mmfas.apis.scoring import load_model, load_samples, prepare_scoring
from mmfas.models import MultiModalFAS
from mmfas.utils.errors import InputError
from mmfas.utils.files import write_atomically

__all__ = [
    'PROJECTIONS',
    'FeatureTable',
    'collect_features',
    'features_of',
    'neighbours_kept',
    'project',
    'write_points',
]

PROJECTIONS = ('tsne', 'pca')
_LOADERS = {'train': 'train_dataloader', 'val': 'val_dataloader', 'test': 'test_dataloader'}
_UNKNOWN = 'unknown'
#: Fewer points than this have no neighbourhood to keep.
LEAST_SAMPLES = 4


@dataclass(frozen=True)
class FeatureTable:
    """Features of samples.

    Args:
        sample_id: Names (N,).
        split: Split of each sample (N,): `'train'`, `'val'` or `'test'`.
        domain: Data set of each sample (N,); `'unknown'` where it is not known.
        pai: Attack instrument (N,), `'live'` for live samples.
        score: Liveness that the model gives them (N,), in [0, 1].
        features: Name of a feature -> its values (K, width): `'fused'` and, where the neck has them, one per
            modality.
        rows: Name of a feature -> numbers of the samples that have it (K,): not those without the modality.
    """

    sample_id: NDArray[np.str_]
    split: NDArray[np.str_]
    domain: NDArray[np.str_]
    pai: NDArray[np.str_]
    score: NDArray[np.float64]
    features: dict[str, NDArray[np.float64]]
    rows: dict[str, NDArray[np.int64]]

    def __len__(self) -> int:
        return int(self.score.size)


def collect_features(
    cfg: Config,
    checkpoint: str | None = None,
    *,
    splits: Sequence[str] = ('val', 'test'),
    max_samples: int = 1000,
    batch_size: int = 32,
) -> FeatureTable:
    """Run a model over samples and keep the features of its neck.

    Args:
        cfg: Config with a loader for every split.
        checkpoint: File with the weights; the initial ones if None.
        splits: Some of `'train'`, `'val'` and `'test'`. Dev has the source domains, test the target.
        max_samples: Samples of each split, spread evenly over it, at least 1.
        batch_size: Samples in a batch, at least 1.

    Returns:
        The features.

    Raises:
        ScoreError: If the config lacks a split.
        FileNotFoundError: If the checkpoint does not exist.
        CheckpointError: If the checkpoint is refused or does not fit.
    """
    prepare_scoring(cfg)
    samples, of_split = [], []
    for split in dict.fromkeys(splits):
        found = load_samples(cfg, _LOADERS[split], max_samples=max_samples)
        samples += found
        of_split += [split] * len(found)
    return features_of(load_model(cfg, checkpoint), samples, of_split, batch_size=batch_size)


@torch.no_grad()
def features_of(
    model: MultiModalFAS, samples: Sequence[dict], splits: Sequence[str], *, batch_size: int = 32
) -> FeatureTable:
    """Run a model over loaded samples and keep the features of its neck.

    Args:
        model: In evaluation mode.
        samples: Samples as the pipeline returns them, N of them.
        splits: Split of each.
        batch_size: Samples in a batch, at least 1.

    Returns:
        The features.
    """
    fused, streams, present, scores = [], [], [], []
    for start in range(0, len(samples), batch_size):
        data = model.data_preprocessor(pseudo_collate(list(samples[start : start + batch_size])), False)
        features = model.extract_feat(data['inputs'])
        fused.append(features.fused.double().cpu().numpy())
        scores.append(torch.softmax(model.head(features).double(), 1)[:, 1].cpu().numpy())
        present.append(data['inputs']['present'].cpu().numpy())
        if features.per_modality is not None:
            streams.append(features.per_modality.double().cpu().numpy())
    is_there = np.concatenate(present)
    values, rows = {'fused': np.concatenate(fused)}, {'fused': np.arange(len(samples))}
    if streams:
        for name, of_modality, has in zip(
            model.modalities, np.concatenate(streams, axis=1), is_there.T, strict=True
        ):
            if has.any():
                values[name], rows[name] = of_modality[has], np.flatnonzero(has)
    infos = [sample['data_samples'] for sample in samples]
    text = {key: np.array([str(info.get(key) or _UNKNOWN) for info in infos]) for key in ('sample_id', 'domain')}
    pai = [str(info.get('pai') or ('live' if info.get('gt_label') == 1 else _UNKNOWN)) for info in infos]
    return FeatureTable(
        **text, split=np.array(splits), pai=np.array(pai), score=np.concatenate(scores), features=values, rows=rows
    )


def project(
    features: NDArray[np.float64], *, method: str = 'tsne', perplexity: float = 30.0, seed: int | None = None
) -> NDArray[np.float64]:
    """Lay features out in a plane.

    Args:
        features: Features (N, D), at least 4.
        method: `'tsne'`, or `'pca'`: the first two principal components, from which t-SNE starts, too.
        perplexity: About how many neighbours t-SNE tries to keep, below N; it is lowered to a third of N - 1 where
            there are few samples.
        seed: Start t-SNE from a random layout with this seed, to see what stays; None starts from the components,
            where nothing is drawn at random.

    Returns:
        Points (N, 2).

    Raises:
        ValueError: If there are too few samples, the method is unknown, or the features are not finite.
    """
    if method not in PROJECTIONS:
        raise InputError(f'a projection is one of {PROJECTIONS}, but got {method!r}')
    if len(features) < LEAST_SAMPLES:
        raise InputError(f'a picture of features needs at least {LEAST_SAMPLES} samples, but got {len(features)}')
    if not 0 < perplexity < float('inf'):
        raise InputError(f'perplexity must be above 0 and finite, but got {perplexity}')
    if not np.isfinite(features).all():
        raise InputError('the features hold values that are not finite; are the weights whole?')
    if bool((features == features[0]).all()):
        if method == 'pca':
            return np.zeros((len(features), 2))
        raise InputError('the features of all samples are the same, so there is nothing to lay out; take pca')
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    components = PCA(n_components=min(50, *features.shape), svd_solver='full').fit_transform(features)
    if components.shape[1] < 2:
        components = np.pad(components, ((0, 0), (0, 1)))
    if method == 'pca':
        return components[:, :2]
    neighbours = neighbours_kept(len(features), perplexity)
    start = 'pca' if seed is None else 'random'
    layout = TSNE(2, perplexity=neighbours, init=start, random_state=seed or 0).fit_transform(components)
    return np.asarray(layout, dtype=np.float64)


def neighbours_kept(num_samples: int, perplexity: float) -> float:
    """Return the perplexity that t-SNE is given, at most a third of N - 1.

    Args:
        num_samples: Number N of samples, at least 2.
        perplexity: What was asked for, above 0.
    """
    return min(perplexity, (num_samples - 1) / 3)


def write_points(path: str | PathLike[str], table: FeatureTable, points: dict[str, NDArray[np.float64]]) -> None:
    """Write where every sample lies, for figures of your own.

    Args:
        path: CSV file to write.
        table: The samples.
        points: Name of a feature -> its points (K, 2).
    """
    text = io.StringIO(newline='')
    writer = csv.writer(text, lineterminator='\n')
    writer.writerow(('feature', 'sample_id', 'split', 'domain', 'pai', 'score', 'x', 'y'))
    for name, places in points.items():
        for row, (x, y) in zip(table.rows[name], places, strict=True):
            known = (table.sample_id[row], table.split[row], table.domain[row], table.pai[row])
            writer.writerow((name, *known, f'{table.score[row]:.6f}', f'{x:.6g}', f'{y:.6g}'))
    write_atomically(path, text.getvalue())
