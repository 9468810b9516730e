"""Timing things side by side, so that what else the machine does hits both alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mmfas.analysis.complexity import example_inputs, example_samples, image_size_of
from mmfas.utils.errors import InputError

if TYPE_CHECKING:
    from torch import nn

    from mmfas.models.fas import MultiModalFAS


#: What measurements say of a goal.
MET, MISSED, NO_VERDICT = 'met', 'missed', 'no verdict'
#: Below this many rounds a bootstrap of the median says nothing: one round would look certain.
MIN_ROUNDS_FOR_VERDICT = 5
_NUM_RESAMPLES = 4000


@dataclass(frozen=True)
class Timing:
    """How long one thing takes.

    Args:
        name: What was timed.
        median_ms: Median of the rounds, in milliseconds.
        fastest_ms: Fastest round, in milliseconds.
        ratio: Median over the rounds of its time divided by that of the first thing in the same round.
        num_rounds: Number of timed rounds.
        ratio_low: Lower end of the 95 % bootstrap interval of `ratio`.
        ratio_high: Upper end of it.
    """

    name: str
    median_ms: float
    fastest_ms: float
    ratio: float
    num_rounds: int
    ratio_low: float
    ratio_high: float

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as plain values."""
        return asdict(self)

    def judge(self, bound: float) -> str:
        """Say whether the ratio keeps to a bound, or that these rounds cannot tell.

        Args:
            bound: Largest ratio that is allowed.

        Returns:
            `'met'` or `'missed'` where the whole interval is on one side; else `'no verdict'` and the reason.
        """
        if self.num_rounds < MIN_ROUNDS_FOR_VERDICT:
            return f'{NO_VERDICT}: {self.num_rounds} round(s), {MIN_ROUNDS_FOR_VERDICT} are needed'
        verdict = judge_interval(self.ratio_low, self.ratio_high, most=bound)
        if verdict != NO_VERDICT:
            return verdict
        return f'{verdict}: {bound:g} lies in the interval, so more rounds or a quieter machine are needed'


def judge_interval(low: float, high: float, *, most: float | None = None, least: float | None = None) -> str:
    """Say whether an interval keeps to a bound.

    Args:
        low: Lower end.
        high: Upper end.
        most: Largest value that is allowed; or
        least: the smallest.

    >>> judge_interval(1, 1.04, most=1.05), judge_interval(1, 1.06, most=1.05), judge_interval(1, 1.2, least=1.3)
    ('met', 'no verdict', 'missed')
    """
    if most is not None:
        return MET if high <= most else MISSED if low > most else NO_VERDICT
    assert least is not None
    return MET if low >= least else MISSED if high < least else NO_VERDICT


def median_interval(values: Sequence[float], *, seed: int = 0) -> tuple[float, float]:
    """Estimate how far the median of some values can be trusted, by the percentile bootstrap.

    Args:
        values: At least one value, drawn independently.
        seed: Seed of the resamples.

    Returns:
        Ends of the 95 % interval.

    >>> median_interval([1.0, 1.0, 1.0])
    (1.0, 1.0)
    """
    draws = np.random.default_rng(seed).choice(np.asarray(values), (_NUM_RESAMPLES, len(values)))
    low, high = np.percentile(np.median(draws, axis=1), (2.5, 97.5))
    return float(low), float(high)


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
    return [_timing(name, values, seconds[names[0]]) for name, values in seconds.items()]


def _timing(name: str, seconds: Sequence[float], reference: Sequence[float]) -> Timing:
    """Sum the rounds up; ratios are taken round by round, so that what slows a whole round down cancels."""
    ratios = [value / base for value, base in zip(seconds, reference, strict=True)]
    low, high = median_interval(ratios)
    return Timing(
        name,
        median_ms=1000 * statistics.median(seconds),
        fastest_ms=1000 * min(seconds),
        ratio=statistics.median(ratios),
        num_rounds=len(ratios),
        ratio_low=low,
        ratio_high=high,
    )


def plain_trunk(
    model: MultiModalFAS, inputs: Mapping[str, torch.Tensor], *, is_joint: bool = False
) -> torch.Tensor:
    """Run the trunk alone on all modalities.

    Args:
        model: A multi-modal model.
        inputs: Modality -> images (B, 3, H, W); `present` -> boolean mask (B, M).
        is_joint: Run it on one sequence of all tokens instead of one for each modality.

    Returns:
        Readout (M, B, C), or (1, B, C) if joint.
    """
    return blocks_and_readout(model, embedded_streams(model, inputs, is_joint=is_joint), inputs['present'])


def embedded_streams(
    model: MultiModalFAS, inputs: Mapping[str, torch.Tensor], *, is_joint: bool = False
) -> torch.Tensor:
    """Embed the images, as `plain_trunk` does first: streams (M, B, *feat), or (1, B, L, C) if joint."""
    images = torch.stack([inputs[m] for m in model.modalities])
    streams = model.trunk.embed(images, inputs['present'])
    if is_joint:
        prefix = model.trunk.num_prefix
        patches = streams[:, :, prefix:].transpose(0, 1).flatten(1, 2)
        streams = torch.cat([streams[0, :, :prefix], patches], dim=1)[None]
    return streams


def blocks_and_readout(model: MultiModalFAS, streams: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
    """Run the plain blocks on streams (M, B, *feat), `present` (B, M), and read out: (M, B, C)."""
    for block in model.trunk.bind(present):
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
            trunk: _scoring(model, lambda: plain_trunk(model, inputs, is_joint=is_joint)),
            f'{name}: model': _scoring(model, lambda: model(inputs, mode='tensor')),
        }
    samples = example_samples(batch_size)
    return {
        trunk: _training(model.trunk, lambda: plain_trunk(model, inputs, is_joint=is_joint).square().mean()),
        f'{name}: model': _training(model, lambda: sum(model(inputs, samples, mode='loss').values())),
    }
