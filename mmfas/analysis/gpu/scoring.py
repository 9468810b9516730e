"""How fast a model scores: eager, compiled and as ONNX; a single sample for latency, many for throughput."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch

from mmfas.analysis.complexity import image_size_of
from mmfas.analysis.gpu.section import Section
from mmfas.analysis.gpu.workloads import Batch, Method, build_large, compiled, large_methods
from mmfas.analysis.speed import time_side_by_side
from mmfas.models.heads.base import liveness

if TYPE_CHECKING:
    from mmfas.models.fas import MultiModalFAS

#: Scores pictures (modality -> uint8 (B, 3, H, W)) on a device.
ScorePictures: TypeAlias = Callable[[Mapping[str, np.ndarray]], object]
#: Turns a model into an ONNX session on a device; its side of the room knows how.
OpenONNX: TypeAlias = Callable[['MultiModalFAS', tuple[int, int], torch.device], ScorePictures]
_COMPILED = ('mmdg', 'concat')
_OTHERS = ('big-moe', 'mmda')


def run_scoring(section: Section, configs: Path, *, open_onnx: OpenONNX | None = None) -> None:
    """Time scoring of ViT-B/16 models, most valuable first: what has a goal, then the others, then single samples.

    Args:
        section: Where to, and how long.
        configs: Folder of the configs.
        open_onnx: Opens a model as ONNX; None to leave that out.
    """
    batch_sizes = (2,) if section.is_tiny else (64, 1)
    methods = {method.name: method for method in large_methods(configs, is_tiny=section.is_tiny)}
    subjects = {name: _Subject(section, methods[name]) for name in (*_COMPILED, *_OTHERS)}
    goal, *rest = batch_sizes
    for name in _COMPILED:
        section.run(name, f'eager, batch {goal}', subjects[name].eager, goal)
    for name in _COMPILED[: 1 if section.is_tiny else None]:
        section.run(name, f'compiled, batch {goal}', subjects[name].compiled, goal)
    for name in _OTHERS:
        section.run(name, f'eager, batch {goal}', subjects[name].eager, goal)
    for size in rest:
        for name in subjects:
            section.run(name, f'eager, batch {size}', subjects[name].eager, size)
        for name in _COMPILED:
            section.run(name, f'compiled, batch {size}', subjects[name].compiled, size)
    for size in batch_sizes if open_onnx is not None else ():
        section.run('mmdg', f'onnx, batch {size}', _onnx, section, methods['mmdg'], size, open_onnx)


class _Subject:
    """A method that is built once, at its first item: building takes longer than timing.

    Args:
        section: Where it runs.
        method: The method.
    """

    def __init__(self, section: Section, method: Method) -> None:
        self.section, self.method = section, method

    @cached_property
    def model(self) -> MultiModalFAS:
        """The model in evaluation mode, on its device."""
        return build_large(self.method, self.section.device)[0]

    @cached_property
    def compiled_model(self) -> MultiModalFAS:
        """A compiled copy of it."""
        return compiled(copy.deepcopy(self.model), self.section)

    def eager(self, batch_size: int) -> dict[str, Any]:
        """Time the model as it is."""
        run = _scorer(self.model, Batch.of(self.model, batch_size), self.section.device)
        (found,) = time_side_by_side({'eager': run}, **_rounds(self.section))
        return _times(found, batch_size, len(self.model.modalities))

    def compiled(self, batch_size: int) -> dict[str, Any]:
        """Time the compiled model beside the eager one, round by round."""
        batch = Batch.of(self.model, batch_size)
        pair = (('compiled', self.compiled_model), ('eager', self.model))
        calls = {name: _scorer(model, batch, self.section.device) for name, model in pair}
        fast, eager = time_side_by_side(calls, **_rounds(self.section))
        values = _times(fast, batch_size, len(self.model.modalities))
        # how many times as fast: eager over compiled
        gains = dict(gain=eager.ratio, gain_low=eager.ratio_low, gain_high=eager.ratio_high)
        return {**values, 'eager_ms': eager.median_ms, **gains}


def _scorer(model: MultiModalFAS, batch: Batch, device: torch.device) -> Callable[[], object]:
    """Return a call that scores a batch on the device, in bfloat16 autocast; logits and scores are float32."""

    def run() -> torch.Tensor:
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16):
            logits = model(batch.inputs, mode='tensor')
        return liveness(logits.float())

    return run


def _rounds(section: Section) -> dict[str, Any]:
    return dict(num_rounds=3, num_warm_up=1) if section.is_tiny else dict(num_rounds=30, num_warm_up=5)


def _times(found: Any, batch_size: int, num_modalities: int) -> dict[str, Any]:
    """Return the numbers of one timing."""
    return dict(
        ms=found.median_ms,
        fastest_ms=found.fastest_ms,
        images_per_second=1000 * batch_size * num_modalities / found.median_ms,
        num_rounds=found.num_rounds,
    )


def _onnx(section: Section, method: Method, batch_size: int, open_onnx: OpenONNX) -> dict[str, Any]:
    """Time an ONNX session in float32, copies of the pictures to the device included."""
    model, _ = build_large(method, torch.device('cpu'))
    size = image_size_of(model)
    score = open_onnx(model, size, section.device)
    rng = np.random.default_rng(0)
    pictures = {m: rng.integers(0, 256, (batch_size, 3, *size), dtype=np.uint8) for m in model.modalities}
    (found,) = time_side_by_side({'onnx': lambda: score(pictures)}, **_rounds(section))
    return _times(found, batch_size, len(model.modalities))
