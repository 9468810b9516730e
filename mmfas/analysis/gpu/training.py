"""What a training step costs beside the least it can cost: the plain trunk with as many backward passes.

Legend: M modalities, B batch.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from mmengine.optim import OptimWrapper
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mmfas.analysis.gpu.goals import MOST_TIME
from mmfas.analysis.gpu.section import Section
from mmfas.analysis.gpu.workloads import Batch, Method, build_large, build_wrapper, host_batch, large_methods
from mmfas.analysis.gradient_speed import peak_bytes
from mmfas.analysis.host_reads import HostReads, host_reads_of
from mmfas.analysis.speed import blocks_and_readout, embedded_streams, time_side_by_side
from mmfas.structures import expect_repeats

if TYPE_CHECKING:
    from mmengine.config import Config

    from mmfas.models.fas import MultiModalFAS

_MIB = 2**20
#: Seconds that the rounds of one method may take, and how many there are at least and at most.
_SECONDS_OF_ROUNDS = 8.0
_ROUNDS = (5, 30)
#: Rows of the table of a step that misses its bound.
_PROFILE_ROWS = 15


@dataclass
class TrainingStep:
    """A method's step of training, and its floor; both in bfloat16 autocast on one batch that is on the device.

    Args:
        model: The model, in training mode.
        wrapper: Its optimizer wrapper, without clipping.
        batch: The batch.
        floor_optimizer: Updates what is trained of the trunk.
        num_passes: Backward passes of a step.
        is_joint: Whether the neck runs one sequence of all modalities.
    """

    model: MultiModalFAS
    wrapper: OptimWrapper
    batch: Batch
    floor_optimizer: torch.optim.Optimizer
    num_passes: int
    is_joint: bool

    @classmethod
    def of(cls, model: MultiModalFAS, cfg: Config, batch_size: int) -> TrainingStep:
        """Build the optimizers of a model as its config says.

        Args:
            model: The model on its device.
            cfg: Its config.
            batch_size: Samples B.
        """
        wrapper = build_wrapper(model.train(), cfg.optim_wrapper, clips=False)
        batch = Batch.of(model, batch_size)
        trained = [p for p in model.trunk.parameters() if p.requires_grad]
        # a trunk that is frozen whole still needs an optimizer to be called
        own = trained or [torch.nn.Parameter(torch.zeros(1, device=next(model.parameters()).device))]
        floor = torch.optim.AdamW(own, lr=0.0)
        if hasattr(wrapper, 'write_gradients'):
            with wrapper.optim_context(model):
                num_passes = 1 + len(batch.loss_terms(model).per_modality)
        else:
            num_passes = 1
        return cls(model, wrapper, batch, floor, num_passes, _is_joint(model, batch))

    def mixed(self) -> AbstractContextManager[None]:
        """Return the autocast of forward passes."""
        kind = next(self.model.parameters()).device.type
        return nullcontext() if kind == 'meta' else torch.autocast(kind, torch.bfloat16)

    def step(self) -> None:
        """Make a step of training."""
        with self.wrapper.optim_context(self.model), self.mixed():
            terms = self.batch.loss_terms(self.model)
            total = torch.stack(list(terms.to_losses().values())).sum()
        if getattr(self.wrapper, 'needs_loss_terms', False):
            self.wrapper.update_params(total, loss_terms=terms)
        else:
            self.wrapper.update_params(total)

    def floor(self) -> None:
        """Run the plain trunk once forwards and as often backwards as the step; update what is trained of it."""
        parameters = [p for p in self.model.trunk.parameters() if p.requires_grad]
        with self.mixed():
            embedded = embedded_streams(self.model, self.batch.inputs, is_joint=self.is_joint)
            if not embedded.requires_grad:
                embedded.requires_grad_()
            features = blocks_and_readout(self.model, embedded, self.batch.inputs['present'])
            loss = features.float().square().mean()
        for _ in range(self.num_passes - 1):
            torch.autograd.grad(loss, embedded, retain_graph=True)
        grads = torch.autograd.grad(loss, [*parameters, embedded], allow_unused=True)
        for parameter, grad in zip(parameters, grads):
            parameter.grad = grad
        self.floor_optimizer.step()
        self.floor_optimizer.zero_grad()


def _is_joint(model: MultiModalFAS, batch: Batch) -> bool:
    """Tell whether the neck makes one sequence of the streams of all modalities."""
    counted: list[int] = []
    handle = model.trunk.vit.layers[0].ln1.register_forward_hook(lambda _, args, out: counted.append(out.numel()))
    with torch.no_grad():
        model(batch.inputs, mode='tensor')
        streams = embedded_streams(model, batch.inputs)
    handle.remove()
    return counted[0] != streams.numel()


def run_training(section: Section, configs: Path) -> None:
    """Measure a step of every method beside its floor, then what keeps the host waiting, then profile what misses.

    Args:
        section: Where to, and how long.
        configs: Folder of the configs.
    """
    batch_size = 2 if section.is_tiny else 32
    edge = 128 if section.is_tiny else 8192
    rate = section.run('', 'matmul', matmul_rate, section.device, edge)
    tflops = None if rate is None else rate['tflops']
    methods = large_methods(configs, is_tiny=section.is_tiny)[: 3 if section.is_tiny else None]
    missed = []
    for method in methods:
        found = section.run(method.name, 'step', _measure, section, method, batch_size, tflops)
        if found is not None and found['ratio'] > MOST_TIME:
            missed.append(method)
    for method in methods[: 1 if section.is_tiny else None]:
        section.run(method.name, 'host reads', check_host_reads, method, section.device)
    for method in missed[: 1 if section.is_tiny else None]:
        section.run(method.name, 'profile', _profile, method, section.device, batch_size)


def matmul_rate(device: torch.device, edge: int, *, num_rounds: int = 10) -> dict[str, Any]:
    """Measure what matrix products reach in bfloat16: the ceiling of every step.

    Args:
        device: The device.
        edge: Rows and columns of the matrices; random, as zeros are faster on some devices.
        num_rounds: Timed products.

    Returns:
        `tflops`, from the median.
    """
    left, right = (torch.randn(edge, edge, device=device).to(torch.bfloat16) for _ in range(2))
    seconds = [_seconds(lambda: left @ right, device) for _ in range(num_rounds + 3)][3:]
    return dict(tflops=2 * edge**3 / statistics.median(seconds) / 1e12, edge=edge, num_rounds=num_rounds)


def _seconds(run: Callable[[], object], device: torch.device) -> float:
    """Time one call, waiting for the device before and after."""
    _wait(device)
    start = time.perf_counter()
    run()
    _wait(device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == 'cuda':
        torch.cuda.synchronize(device)


def _measure(section: Section, method: Method, batch_size: int, tflops: float | None) -> dict[str, Any]:
    """Measure step and floor of a method, interleaved; then arithmetic and memory of both."""
    subject = TrainingStep.of(*build_large(method, section.device), batch_size)
    candidates = {'floor': subject.floor, 'step': subject.step}
    for run in (*candidates.values(), *candidates.values()):
        run()
    once = sum(_seconds(run, section.device) for run in candidates.values())
    rounds = min(max(int(min(_SECONDS_OF_ROUNDS, section.clock.left) / once), _ROUNDS[0]), _ROUNDS[1])
    floor, step = time_side_by_side(
        _with_repeats(subject, candidates), num_rounds=3 if section.is_tiny else rounds, num_warm_up=1
    )
    peaks = {name: peak_bytes(run, section.device) / _MIB for name, run in candidates.items()}
    flops = _flops(subject.step)
    seconds = step.median_ms / 1000
    return dict(
        step_ms=step.median_ms,
        floor_ms=floor.median_ms,
        ratio=step.ratio,
        ratio_low=step.ratio_low,
        ratio_high=step.ratio_high,
        num_rounds=step.num_rounds,
        images_per_second=batch_size * len(subject.model.modalities) / seconds,
        batch_size=batch_size,
        num_passes=subject.num_passes,
        is_joint=subject.is_joint,
        step_tflop=flops / 1e12,
        tflops=flops / seconds / 1e12,
        matmul_part=None if tflops is None else flops / seconds / 1e12 / tflops,
        peak_mib=peaks['step'],
        floor_peak_mib=peaks['floor'],
        peak_ratio=peaks['step'] / peaks['floor'],
        num_trained=sum(p.numel() for p in subject.model.parameters() if p.requires_grad),
    )


def _with_repeats(
    subject: TrainingStep, candidates: Mapping[str, Callable[[], None]]
) -> dict[str, Callable[[], None]]:
    """Let the layers expect several backward passes in the step of a rule, and none in the floor."""

    def prepared(run: Callable[[], None], repeats: bool) -> Callable[[], None]:
        def call() -> None:
            expect_repeats(subject.model, repeats)
            run()

        return call

    return {name: prepared(run, name == 'step' and subject.num_passes > 1) for name, run in candidates.items()}


def _flops(run: Callable[[], object]) -> int:
    """Count the floating point operations of matrix products, convolutions and attention in a call."""
    counter = FlopCounterMode(display=False)
    # fused kernels of attention are not all in torch's table, and compute things twice
    with sdpa_kernel(SDPBackend.MATH), counter:
        run()
    return counter.get_total_flops()


def check_host_reads(method: Method, device: torch.device) -> dict[str, Any]:
    """Find out whether a whole step, from pictures in the host's memory on, ever makes the host wait.

    On a GPU torch itself raises at the first place; without one all places are found by `host_reads_of`.

    Args:
        method: The method.
        device: Where the model is.

    Returns:
        `places` without clipping of gradients and `places_with_clipping`: where the host waits, empty if nowhere.
    """
    found = {}
    for name, clips in (('places', False), ('places_with_clipping', True)):
        model, cfg = build_large(method, torch.device('cpu'))
        prepare = partial(whole_step, cfg=cfg, clips=clips)
        found[name] = (
            _places_on_gpu(prepare(model.to(device)), device)
            if device.type == 'cuda'
            else host_reads_of(model, prepare)
        )
    return found


def whole_step(model: MultiModalFAS, *, cfg: Config, clips: bool) -> Callable[[], None]:
    """Prepare a step of training that begins with pictures in the memory of the host.

    Args:
        model: The model on its device.
        cfg: Its config.
        clips: Clip gradients as the config says.

    Returns:
        A call that makes a step.
    """
    wrapper = build_wrapper(model.train(), cfg.optim_wrapper, clips=clips)
    device = next(model.parameters()).device
    data = host_batch(model, 4, pinned=torch.cuda.is_available() and device.type == 'cuda')

    def step() -> None:
        with nullcontext() if device.type == 'meta' else torch.autocast(device.type, torch.bfloat16):
            model.train_step(data, wrapper)

    return step


def _places_on_gpu(step: Callable[[], None], device: torch.device) -> list[str]:
    """Run a step in which torch raises where the host would wait; it names the first place only."""
    for _ in range(2):  # what is set up once may wait
        step()
    torch.cuda.synchronize(device)
    torch.cuda.set_sync_debug_mode('error')
    try:
        step()
    except RuntimeError as error:
        if 'synchroniz' not in str(error):
            raise
        return [HostReads.place_of(error.__traceback__)]
    finally:
        torch.cuda.set_sync_debug_mode('default')
    return []


def _profile(method: Method, device: torch.device, batch_size: int) -> dict[str, Any]:
    """Tabulate where the time of a step goes."""
    subject = TrainingStep.of(*build_large(method, device), batch_size)
    for _ in range(2):
        subject.step()
    activities = [torch.profiler.ProfilerActivity.CPU]
    if device.type == 'cuda':
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    _wait(device)
    with torch.profiler.profile(activities=activities) as profiler:
        subject.step()
        _wait(device)
    key = 'self_cuda_time_total' if device.type == 'cuda' else 'self_cpu_time_total'
    averages = profiler.key_averages()
    return dict(table=averages.table(sort_by=key, row_limit=_PROFILE_ROWS, max_name_column_width=60))
