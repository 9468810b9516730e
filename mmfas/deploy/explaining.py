"""Why a verdict is as it is: what every allowed subset of the pictures says, and where the model is unsure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmfas.apis.scoring import ScoreError
from mmfas.apis.uncertainty import UncertaintyMaps, uncertainty_of
from mmfas.deploy.inferencer import FASInferencer
from mmfas.deploy.torch_runtime import TorchRuntime
from mmfas.deploy.verdict import Verdict

__all__ = ['Explanation', 'explain', 'uncertainty']

_SAMPLE_ID = 'input'


@dataclass(frozen=True)
class Explanation:
    """A verdict and what lies behind it.

    Args:
        verdict: Of all pictures.
        parts: Verdicts of all allowed subsets that have fewer pictures, those with most first; none if the sample
            was not judged.
        maps: Uncertainty of the model about every patch; None if its neck does not estimate it.
    """

    verdict: Verdict
    parts: tuple[Verdict, ...] = ()
    maps: UncertaintyMaps | None = None


def explain(inferencer: FASInferencer, pictures: Mapping[str, Any]) -> Explanation:
    """Judge a sample, and every part of it that the bundle allows.

    Args:
        inferencer: What judges.
        pictures: Modality -> path, array, PIL image or bytes of a file.
    """
    verdict = inferencer.judge_pictures(pictures, _SAMPLE_ID)
    if not verdict.is_judged:
        return Explanation(verdict)
    subsets = [names for names in inferencer.bundle.allowed_subsets() if set(names) < set(verdict.modalities)]
    parts = tuple(
        inferencer.judge_pictures({m: pictures[m] for m in names}, ' + '.join(names))
        for names in sorted(subsets, key=len, reverse=True)
    )
    return Explanation(verdict, parts, uncertainty(inferencer, pictures))


def uncertainty(inferencer: FASInferencer, pictures: Mapping[str, Any]) -> UncertaintyMaps | None:
    """Return how sure the model is of every patch of a sample that can be judged.

    Args:
        inferencer: What judges.
        pictures: Modality -> path, array, PIL image or bytes of a file.

    Returns:
        The maps; None if the neck of the model does not estimate uncertainty, or the bundle is an ONNX file.
    """
    if not isinstance(inferencer.runtime, TorchRuntime):
        return None
    if inferencer.face_front is not None:
        pictures = inferencer.face_front(pictures, max_mb=inferencer.preprocessing.loader.max_sample_mb).pictures
    try:
        return uncertainty_of(inferencer.runtime.model, inferencer.preprocessing(pictures, _SAMPLE_ID))
    except ScoreError:
        return None
