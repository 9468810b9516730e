"""Timing things side by side, so that what else the machine does hits both alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

from mmfas.analysis.complexity import example_inputs, example_samples, image_size_of
from mmfas.utils.errors import InputError

if TYPE_CHECKING:
    from torch import nn

    from mmfas.models.fas import MultiModalFAS


@dataclass(frozen=True)
class Timing:
    """How long one thing takes.

    Args:
        name: What was timed.
        median_ms: Median of the rounds, in milliseconds.
        fastest_ms: Fastest round, in milliseconds.
        ratio: Median over the rounds of its time divided by that of the first thing in the same round.
        num_rounds: Number of timed rounds.
    """

    name: str
    median_ms: float
    fastest_ms: float
    ratio: float
    num_rounds: int

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as plain values."""
        return asdict(self)


def _synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


#: Wall time, or the CPU time of this process, which other processes hardly influence.
CLOCKS: dict[str, Callable[[], float]] = {'wall': time.perf_counter, 'cpu': time.process_time}


def _seconds(run: Callable[[], object], clock: Callable[[], float]) -> float:
    """Time one call, waiting for the accelerator before and after."""
    _synchronise()
    start = clock()
    run()
    _synchronise()
    return clock() - start


def time_side_by_side(
    candidates: Mapping[str, Callable[[], object]],
    *,
    num_rounds: int = 30,
    num_warm_up: int = 5,
    clock: str = 'wall',
) -> list[Timing]:
    """Time several things in turn, round by round.

    Args:
        candidates: Name -> what to run; the first one is the reference of the ratios.
        num_rounds: Timed rounds, at least 1; every round runs each candidate once, starting with another one.
        num_warm_up: Rounds before the clock starts.
        clock: One of `CLOCKS`; `'cpu'` is for one thread on a busy machine.

    Returns:
        One timing per candidate, in their order.

    Raises:
        ValueError: If there is nothing to time.
    """
    if not candidates or num_rounds < 1:
        raise InputError(
            f'expected candidates and at least one round, but got {list(candidates)} and {num_rounds}'
        )
    names = list(candidates)
    for _ in range(num_warm_up):
        for run in candidates.values():
            run()
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(num_rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            seconds[name].append(_seconds(candidates[name], CLOCKS[clock]))
    reference = seconds[names[0]]
    return [
        Timing(
            name,
            median_ms=1000 * statistics.median(values),
            fastest_ms=1000 * min(values),
            ratio=statistics.median(value / base for value, base in zip(values, reference)),
            num_rounds=num_rounds,
        )
        for name, values in seconds.items()
    ]


def _plain_trunk(
    model: MultiModalFAS, inputs: Mapping[str, torch.Tensor], *, is_joint: bool = False
) -> torch.Tensor:
    """Run the trunk alone on all modalities: embed, blocks, readout; one sequence of all tokens if joint."""
    images = torch.stack([inputs[m] for m in model.modalities])
    streams = model.trunk.embed(images, inputs['present'])
    if is_joint:
        prefix = model.trunk.num_prefix
        patches = streams[:, :, prefix:].transpose(0, 1).flatten(1, 2)
        streams = torch.cat([streams[0, :, :prefix], patches], dim=1)[None]
    for block in model.trunk.bind(inputs['present']):
        streams = block(streams)
    return model.trunk.readout(streams)


def _scoring(model: nn.Module, forward: Callable[[], torch.Tensor]) -> Callable[[], object]:
    """Return a call that scores one batch."""

    def run() -> None:
        model.train(False)
        with torch.no_grad():
            forward()

    return run


def _training(model: nn.Module, loss: Callable[[], torch.Tensor]) -> Callable[[], object]:
    """Return a call that makes one step with SGD at rate zero, so that the weights stay as they are."""
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.0)

    def run() -> None:
        model.train(True)
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    return run


def speed_candidates(
    name: str,
    model: MultiModalFAS,
    *,
    batch_size: int,
    is_training: bool,
    is_joint: bool = False,
    image_size: tuple[int, int] | None = None,
) -> dict[str, Callable[[], object]]:
    """Prepare the plain trunk and the whole model for `time_side_by_side`.

    The trunk sees M sequences per sample, one per modality; or one joint sequence of the class token of the first
    and the patch tokens of all, which is what a neck with a joint sequence, such as BIG-MoE's, runs.

    Args:
        name: What the model is called in the result.
        model: A multi-modal model.
        batch_size: Number of samples in a batch, each with all modalities.
        is_training: Time a step of training instead of scoring.
        is_joint: Run the trunk on the joint sequence.
        image_size: Rows and columns in pixels; what the trunk was made for if None.

    Returns:
        Calls of the trunk, which is the reference, and of the model, under their names.

    Raises:
        ValueError: If the sequence is to be joint and the trunk has no tokens.
    """
    if is_joint and not model.trunk.has_tokens:
        raise InputError(
            f'{type(model.trunk).__name__} yields feature maps, so there is no joint sequence to time; leave '
            '--joint out, or take MultiStreamViT'
        )
    inputs = example_inputs(model, batch_size, size=image_size_of(model, image_size))
    trunk = f'{name}: trunk, joint' if is_joint else f'{name}: trunk'
    if not is_training:
        return {
            trunk: _scoring(model, lambda: _plain_trunk(model, inputs, is_joint=is_joint)),
            f'{name}: model': _scoring(model, lambda: model(inputs, mode='tensor')),
        }
    samples = example_samples(batch_size)
    return {
        trunk: _training(model.trunk, lambda: _plain_trunk(model, inputs, is_joint=is_joint).square().mean()),
        f'{name}: model': _training(model, lambda: sum(model(inputs, samples, mode='loss').values())),
    }
