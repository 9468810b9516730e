"""The golden sample of a bundle: pictures with known scores, by which a machine shows that it computes right.

The pictures are rendered, whatever data the model was trained on: no picture of a person leaves with a bundle.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from mmfas.deploy.bundle import UNUSABLE, Bundle, BundleError, GoldenSample
from mmfas.deploy.torch_runtime import Runtime, TorchRuntime
from mmfas.synthfas.plan.plan import Setting, plan_split
from mmfas.synthfas.render import render_video
from mmfas.utils.errors import UserError

__all__ = ['check_golden_sample', 'golden_scores', 'rendered_triple', 'with_golden_sample']

#: Largest difference of a score that another processor or another order of sums may make, in float32.
TOLERANCE = 1e-4
#: The same for accelerators, whose products may have 10 bits (TF32), and for half precision.
LOOSE_TOLERANCE = 1e-2


def rendered_triple(label: str = 'live', *, size: str = 'small', number: int = 0) -> dict[str, np.ndarray]:
    """Render one frame of SynthFAS in all modalities.

    Args:
        label: Instrument, such as `'print'`; `'live'` for a bona fide presentation.
        size: Size of SynthFAS, `'tiny'` (48 px), `'small'` (64 px), `'medium'` (112 px) or `'full'` (224 px).
        number: Which of the videos of this label.

    Returns:
        `rgb` (S, S, 3), `depth` (S, S) and `ir` (S, S), uint8.
    """
    setting = Setting(size)
    plans = [plan for plan in plan_split(setting, 'W', 'test') if plan.pai == label]
    frame = render_video(replace(plans[number], num_frames=1), setting)[0]
    return dict(rgb=frame.rgb, depth=frame.depth, ir=frame.ir)


def with_golden_sample(bundle: Bundle) -> Bundle:
    """Return a bundle with the golden sample and the scores that its model gives it, one for each allowed subset.

    Args:
        bundle: Without golden sample.

    Raises:
        BundleError: If two runs of the pipeline differ, so that it is not one for inference.
    """
    triple = rendered_triple()
    pictures = {m: torch.from_numpy(np.ascontiguousarray(triple[m])) for m in bundle.modalities}
    sample = GoldenSample(
        pictures, bundle.allowed_subsets(), (), 'rendered by SynthFAS: live, domain W, test, 64 px'
    )
    unscored, runtime = replace(bundle, golden=sample), TorchRuntime(bundle.build_model())
    scores = [golden_scores(unscored, runtime) for _ in range(2)]
    if scores[0] != scores[1]:
        raise BundleError(
            'the test pipeline gives other pictures each time: a bundle needs one without random steps; change '
            'test_dataloader.dataset.pipeline'
        )
    return replace(bundle, golden=replace(sample, scores=scores[0]))


def check_golden_sample(bundle: Bundle, runtime: Runtime, *, tolerance: float | None = None) -> float:
    """Raise if a machine gives the golden sample other scores than the one that made the bundle.

    Args:
        bundle: With golden sample.
        runtime: What computes scores.
        tolerance: Largest difference allowed; by the runtime's precision if None.

    Returns:
        The largest difference.

    Raises:
        BundleError: If it is larger.
    """
    try:
        found = golden_scores(bundle, runtime)
    except UserError:
        raise
    except UNUSABLE as error:
        raise BundleError(
            f"the golden sample of bundle '{bundle.name}' cannot be scored: {type(error).__name__}: {error}; "
            'its pipeline, its model or this machine is at fault'
        ) from error
    assert bundle.golden is not None
    allowed = tolerance if tolerance is not None else TOLERANCE if runtime.is_exact else LOOSE_TOLERANCE
    worst = max(abs(a - b) for a, b in zip(found, bundle.golden.scores, strict=True))
    if not worst <= allowed:  # also NaN
        raise BundleError(
            f"this machine gives the golden sample of bundle '{bundle.name}' other scores than the one that made "
            f'it: they differ by {worst:.2g}, and {allowed:g} is allowed; versions or device are at fault. '
            '--no-self-test (self_test=False) goes on regardless'
        )
    return worst


def golden_scores(bundle: Bundle, runtime: Runtime) -> tuple[float, ...]:
    """Score the golden sample of a bundle with each allowed subset of its pictures.

    Args:
        bundle: With golden sample.
        runtime: What computes scores.

    Raises:
        BundleError: If there is no golden sample.
    """
    if bundle.golden is None:
        raise BundleError(f"bundle '{bundle.name}' has no golden sample")
    preprocess, arrays = bundle.preprocessing(), bundle.golden.arrays()
    packed = [preprocess({m: arrays[m] for m in names}, 'golden sample') for names in bundle.golden.present]
    return tuple(runtime.score(packed).tolist())
