"""What a bundle says of scenes without a face: none of them may be called live."""

from __future__ import annotations

from collections.abc import Sequence

from mmfas.deploy.inferencer import FASInferencer
from mmfas.deploy.probes import SENSOR_SET, render_probes
from mmfas.deploy.verdict import Verdict

__all__ = ['judge_probes']


def judge_probes(
    inferencer: FASInferencer, *, names: Sequence[str] = SENSOR_SET, size: int = 128, seed: int = 0
) -> list[Verdict]:
    """Judge walls, sheets, a covered lens and noise, as a sensor delivers them.

    The quality gate has its say: what it does not judge is not called live. Depth comes in mm where the pipeline
    states its range, and as the code of SynthFAS where it does not.

    Args:
        inferencer: What judges.
        names: Some of `PROBES`.
        size: Side of the pictures in pixels, 16 to 4096.
        seed: Of all draws, >= 0.

    Returns:
        A verdict per scene, whose name begins with `probe`.
    """
    coded = inferencer.preprocessing.loader.depth_range_mm is None
    verdicts = []
    for probe in render_probes(size, seed=seed, names=names):
        arrays = probe.arrays(coded_depth=coded)
        pictures = {m: arrays[m] for m in inferencer.bundle.used}
        verdicts.append(inferencer.judge_pictures(pictures, f'probe: {probe.name}'))
    return verdicts
