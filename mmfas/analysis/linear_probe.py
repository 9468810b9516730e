"""How far a linear classifier gets on what a trunk makes of images without being trained on them.

Legend: N samples, D width of the features: the readouts of all modalities side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from numpy.typing import NDArray

from mmfas.datasets import MultiModalFaceDataset
from mmfas.evaluation.functional import Interval, auc, bootstrap_auc
from mmfas.models import BaseTrunk
from mmfas.models.data_preprocessor import build_preprocessor
from mmfas.models.fas.batch import stack_inputs
from mmfas.registry import BACKBONES, register_all_modules
from mmfas.structures import LIVE, MODALITIES
from mmfas.utils.errors import InputError
from mmfas.utils.shipped import load_pretrained

__all__ = ['STRENGTHS', 'ProbeResult', 'ProbeSamples', 'fit_probe', 'probe_samples', 'probe_trunk']

#: Inverse strengths of regularisation that are tried; domains left out of the fit choose.
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
_MOST_FOLDS = 5


@dataclass(frozen=True)
class ProbeSamples:
    """What a probe is fitted on or judged by.

    Args:
        features: Frozen features (N, D).
        is_live: Labels (N,).
        domain: Data set or site of each (N,).
        cluster: Who is presented, domain and subject (N,): samples of one do not count as independent.
    """

    features: NDArray[np.float64]
    is_live: NDArray[np.bool_]
    domain: NDArray[np.str_]
    cluster: NDArray[np.str_]


@dataclass(frozen=True)
class ProbeResult:
    """Area under the ROC curve on the test lists, its bootstrap interval, and the chosen strength."""

    auc: float
    interval: Interval
    strength: float


def probe_trunk(cfg: Config, weights: str | None = None, *, seed: int = 0) -> BaseTrunk:
    """Build the trunk of a config in evaluation mode.

    Args:
        cfg: Config whose model has a `trunk`.
        weights: What `pretrained` could name, or a checkpoint with a trunk; None for the random start, whatever
            the config says.
        seed: Seed of the random start.

    Raises:
        ValueError: If the model has no trunk, or the trunk takes no weights.
    """
    register_all_modules()
    model = cfg.get('model') or {}
    if not isinstance(model.get('trunk'), dict):
        raise InputError('a probe needs a config with model.trunk, the features of which it reads')
    part = {**model['trunk'], 'pretrained': None}
    torch.manual_seed(seed)
    trunk: BaseTrunk = BACKBONES.build(part, modalities=tuple(model.get('modalities', MODALITIES)))
    trunk.init_weights()
    if weights is not None:
        fill = getattr(trunk, 'load_pretrained', None)
        if fill is None:
            raise InputError(f'{type(trunk).__name__} has no `load_pretrained`, so it takes no weights of a trunk')
        fill(load_pretrained(weights))
    return trunk.train(False)


@torch.no_grad()
def probe_samples(
    trunk: BaseTrunk,
    cfg: Config,
    lists: Sequence[str],
    *,
    data_root: str = '',
    meta_file: str | None = None,
    batch_size: int = 64,
) -> ProbeSamples:
    """Run a trunk over the samples of some lists.

    Args:
        trunk: Trunk in evaluation mode.
        cfg: Config; reads `model.data_preprocessor`.
        lists: Labelled lists, relative to `data_root` or absolute.
        data_root: Folder of the data.
        meta_file: Side-car file with domains and subjects, for published lists.
        batch_size: Samples in a batch, at least 1.

    Returns:
        The features and what is known of the samples.

    Raises:
        FileNotFoundError: If a list is missing.
        ValueError: If a list is malformed.
    """
    steps: list[dict] = [dict(type='LoadMultiModalImages'), dict(type='PackFASInputs')]
    if trunk.image_size is not None:
        rows, columns = trunk.image_size
        steps.insert(1, dict(type='ResizeModalities', scale=(columns, rows)))
    dataset = MultiModalFaceDataset(
        list(lists), data_root, meta_file=meta_file, modalities=trunk.modalities, pipeline=steps, test_mode=True
    )
    preprocess = build_preprocessor(cfg.model.get('data_preprocessor'), trunk.modalities)
    parts, infos = [], [dataset.get_data_info(row) for row in range(len(dataset))]
    for start in range(0, len(dataset), batch_size):
        batch = [dataset[row] for row in range(start, min(start + batch_size, len(dataset)))]
        images, present = stack_inputs(preprocess(pseudo_collate(batch), False)['inputs'], trunk.modalities)
        streams = trunk.embed(images, present)
        for block in trunk.bind(present):
            streams = block(streams)
        parts.append(trunk.readout(streams).transpose(0, 1).flatten(1).double().numpy())
    return ProbeSamples(
        np.concatenate(parts),
        np.array([info['gt_label'] == LIVE for info in infos]),
        np.array([info['domain'] for info in infos]),
        np.array([f'{info["domain"]} {info["subject"]}' for info in infos]),
    )


def fit_probe(fit: ProbeSamples, test: ProbeSamples, *, seed: int = 0, num_replicates: int = 1000) -> ProbeResult:
    """Fit logistic regression on standardised features and judge it.

    The strength of its regularisation is the one with the highest mean AUC on domains left out of the fit (on
    subjects left out, where there is one domain). Nothing of `test` is looked at before.

    Args:
        fit: Samples to fit on.
        test: Samples to judge by, of other domains.
        seed: Seed of the bootstrap.
        num_replicates: Replicates of the bootstrap, which draws subjects.

    Returns:
        The result.

    Raises:
        ValueError: If features are not finite, or one of the sets has one class only.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, GroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    for name, samples in (('fitted on', fit), ('judged by', test)):
        if not np.isfinite(samples.features).all():
            raise InputError(f'features that the probe is {name} are not finite; are the weights whole?')
        if len(np.unique(samples.is_live)) < 2:
            raise InputError(f'what the probe is {name} has one class only; give lists with live and attacks')
    groups = fit.domain if len(np.unique(fit.domain)) > 1 else fit.cluster
    folds = GroupKFold(min(_MOST_FOLDS, len(np.unique(groups))))
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=3000))
    grid = {'logisticregression__C': list(STRENGTHS)}
    search = GridSearchCV(model, grid, scoring='roc_auc', cv=folds).fit(fit.features, fit.is_live, groups=groups)
    scores = search.decision_function(test.features)
    interval = bootstrap_auc(
        scores,
        test.is_live,
        rng=np.random.default_rng(seed),
        cluster=test.cluster,
        num_replicates=num_replicates,
    )
    return ProbeResult(
        float(auc(scores, test.is_live)), interval, float(search.best_params_['logisticregression__C'])
    )
