"""The gradients of a modulated step beside the least they can cost: a plain trunk and its backward passes.

Legend: M modalities, B batch, C readout width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from mmengine.optim import build_optim_wrapper

from mmfas.analysis.complexity import example_inputs, example_samples, image_size_of
from mmfas.engine.optim_wrappers import GradientModulationOptimWrapper
from mmfas.structures import expect_repeats
from mmfas.utils.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mmengine.config import Config

    from mmfas.models.fas import MultiModalFAS


def gradient_candidates(
    name: str, model: MultiModalFAS, cfg: Config, *, batch_size: int, image_size: tuple[int, int] | None = None
) -> dict[str, Callable[[], object]]:
    """Prepare floor and step for `time_side_by_side`.

    The floor is one forward pass of the plain trunk and M + 1 backward passes through all its blocks down to the
    embedding, without gradients of weights. The step is one forward pass of the model, the gradients of all its
    losses and their modulation, without the update of the weights.

    Args:
        name: What the model is called in the result.
        model: A multi-modal model.
        cfg: Its config; `optim_wrapper` is the one measured.
        batch_size: Number of samples B, each with all modalities.
        image_size: Rows and columns in pixels; what the trunk was made for if None.

    Returns:
        Calls of the floor, which is the reference, and of the step, under their names.

    Raises:
        ValueError: If the optimizer wrapper modulates no gradients, or the head has no losses per modality.
    """
    wrapper = build_optim_wrapper(model, cfg.get('optim_wrapper', {'optimizer': {'type': 'SGD', 'lr': 0.0}}))
    if not hasattr(wrapper, 'write_gradients'):
        raise InputError(
            f'optim_wrapper is a {type(wrapper).__name__}, which modulates nothing; to measure the gradients of a '
            'step, set optim_wrapper.type=GradientModulationOptimWrapper and optim_wrapper.modulator'
        )
    inputs = example_inputs(model, batch_size, size=image_size_of(model, image_size))
    samples = example_samples(batch_size)
    if not model.train()(inputs, samples, mode='loss_terms').per_modality:
        raise InputError(
            f'{type(model.head).__name__} has no losses per modality to modulate; set '
            'model.head.modality_loss_weight'
        )
    return {
        f'{name}: floor': lambda: _floor(model, inputs),
        f'{name}: step': lambda: _step(model, wrapper, inputs, samples),
    }


def _floor(model: MultiModalFAS, inputs: Mapping[str, torch.Tensor]) -> None:
    """Run the trunk once forwards and M + 1 times backwards, all blocks, as torch does it."""
    model.train()
    expect_repeats(model, False)
    images = torch.stack([inputs[m] for m in model.modalities])
    with torch.no_grad():
        embedded = model.trunk.embed(images, inputs['present'])
    embedded.requires_grad_()
    streams = embedded
    for block in model.trunk.bind(inputs['present']):
        streams = block(streams)
    features = model.trunk.readout(streams)
    cotangent = torch.ones_like(features)
    for left in reversed(range(len(model.modalities) + 1)):
        torch.autograd.grad(features, embedded, cotangent, retain_graph=left > 0)


def _step(
    model: MultiModalFAS, wrapper: GradientModulationOptimWrapper, inputs: Mapping[str, Any], samples: list[Any]
) -> None:
    """Compute the modulated gradients of a batch."""
    model.train()
    expect_repeats(model)
    with wrapper.optim_context(model):
        terms = model(inputs, samples, mode='loss_terms')
    wrapper.accumulate_gradients(terms)
    wrapper.write_gradients()
    wrapper.zero_grad()


def peak_bytes(run: Callable[[], object], device: torch.device) -> int:
    """Measure how much memory of tensors a call needs at most, above what is held when it starts.

    Args:
        run: What to run; it should have run before, so that what it keeps is there already.
        device: Where its tensors are.

    Returns:
        Bytes: on a GPU as the allocator counts them, on a CPU the sum of allocations seen by torch's profiler.
    """
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profiler:
        run()
    events = profiler.profiler.kineto_results.events()
    sizes = [(event.start_ns(), event.nbytes()) for event in events if event.name() == '[memory]']
    held = peak = 0
    for _, size in sorted(sizes, key=lambda pair: pair[0]):
        held += size
        peak = max(peak, held)
    return peak
