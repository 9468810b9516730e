"""Whether a device computes what the CPU does in double precision: scores, losses, gradients, a ReGrad step.

Legend: M modalities, B batch, P entries of all trainable parameters.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from mmfas.analysis.gpu.same_draws import SameDraws, without_dropout
from mmfas.analysis.gpu.section import Section, SkipItem
from mmfas.analysis.gpu.workloads import (
    Batch,
    Method,
    build_wrapper,
    compiled,
    regrad_or_plain,
    small_methods,
    with_modality_losses,
)
from mmfas.apis.building import build_model
from mmfas.models.fas import FASDistributedDataParallel

if TYPE_CHECKING:
    from mmfas.models.fas import MultiModalFAS

_BATCH_SIZE = 4
#: Methods that are compiled and run in a process group: one of each way to fuse.
_COMPILED = ('concat', 'mmdg', 'big-moe', 'mmda', 'dadm')
_DISTRIBUTED = ('concat', 'mmdg')
#: Whose mixed precision is compared at tiny sizes.
_TINY_MIXED = ('concat', 'mmdg', 'big-moe')
#: Largest relative error `|out - reference| / |reference|` of (logits, losses and gradients) by precision. Float32
#: sums in another order; a mantissa of 8 bits (bfloat16) or 11 (float16) rounds every activation, and may send a
#: row to another expert.
BOUNDS = {
    'float32': (1e-5, 1e-4),
    'float16': (5e-3, 1e-1),
    'bfloat16': (3e-2, 4e-1),
    'compiled': (1e-5, 1e-4),
    'distributed': (1e-6, 1e-6),
}
#: float16 has no numbers below 6e-8: gradients are taken of a loss this many times larger.
_LOSS_SCALE = 1024.0

Results = dict[str, Tensor]


def run_correctness(section: Section, configs: Path) -> None:
    """Compare every method on the small transformer with the CPU in float64, item by item.

    Args:
        section: Where to, and how long.
        configs: Folder of the configs.
    """
    methods = small_methods(configs, is_tiny=section.is_tiny)
    references: dict[str, tuple[_Subject, Results]] = {}
    with torch.backends.cudnn.flags(allow_tf32=False):
        for method in methods:
            section.run(method.name, 'float32', _check_float32, method, section.device, references)
        for dtype in (torch.bfloat16, torch.float16):
            for name in _TINY_MIXED if section.is_tiny else [method.name for method in methods]:
                section.run(name, _name_of(dtype), _check_mixed, references, name, section.device, dtype)
        for name in _DISTRIBUTED:
            section.run(name, 'distributed', _check_distributed, references, name, section.device)
        for name in _COMPILED[: 1 if section.is_tiny else None]:
            section.run(name, 'compiled', _check_compiled, name, configs, section)


def _name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix('torch.')


class _Subject:
    """A method whose copies on several devices and in several precisions start alike."""

    def __init__(self, method: Method) -> None:
        torch.manual_seed(0)
        cfg = with_modality_losses(method.read())
        self.model: MultiModalFAS = build_model(cfg)
        self.wrapper = regrad_or_plain(cfg, self.model)
        without_dropout(self.model)
        _make_nothing_zero(self.model)

    @property
    def has_rule(self) -> bool:
        """Whether the step is modulated."""
        return 'modulator' in self.wrapper

    def copy(self, device: torch.device | str, dtype: torch.dtype = torch.float32) -> MultiModalFAS:
        """Return a copy of the model."""
        return copy.deepcopy(self.model).to(device=device, dtype=dtype)


@torch.no_grad()
def _make_nothing_zero(model: MultiModalFAS) -> None:
    """Move all weights a little: branches that start at zero would hide what is behind them."""
    for parameter in model.parameters():
        parameter.add_(0.02 * torch.randn_like(parameter))
    head: Any = model.head
    if hasattr(head, 'prototypes'):  # else no sample has a prototypical loss
        head.prototypes.normal_()
        head.seen.fill_(True)


def results_of(
    model: MultiModalFAS, wrapper_cfg: Mapping[str, Any], *, autocast: torch.dtype | None = None
) -> Results:
    """Run a model as scoring, training and a modulated step do.

    Args:
        model: The model, which is changed.
        wrapper_cfg: Optimizer wrapper; `step` is left out where it has no rule.
        autocast: Type of mixed precision; None for none.

    Returns:
        `logits` (B, 2), `losses`, `gradient` (P,) of their sum and `step` (P,), the modulated gradient; in
        float64 on the CPU.
    """
    batch, device = Batch.of(model, _BATCH_SIZE), next(model.parameters()).device
    scale = _LOSS_SCALE if autocast is torch.float16 else 1.0

    def mixed() -> Any:
        return nullcontext() if autocast is None else torch.autocast(device.type, autocast)

    with torch.no_grad(), mixed():
        found = {'logits': model.eval()(batch.inputs, mode='tensor')}
    model.train()
    with SameDraws(), mixed():
        losses = list(batch.loss_terms(model).to_losses().values())
    (torch.stack([loss.float() if scale > 1 else loss for loss in losses]).sum() * scale).backward()
    found |= {'losses': torch.stack([loss.detach().double() for loss in losses])}
    found |= {'gradient': _flat_gradient(model) / scale}
    if 'modulator' in wrapper_cfg and scale == 1:
        found['step'] = _modulated_gradient(model, wrapper_cfg, batch, mixed())
    return {name: value.detach().double().cpu() for name, value in found.items()}


def _modulated_gradient(
    model: MultiModalFAS | FASDistributedDataParallel, wrapper_cfg: Mapping[str, Any], batch: Batch, mixed: Any
) -> Tensor:
    """Compute the gradient (P,) that a step of an optimizer wrapper with a rule would take."""
    bare = model.module if isinstance(model, FASDistributedDataParallel) else model
    wrapper: Any = build_wrapper(bare, wrapper_cfg)
    wrapper.zero_grad()
    with SameDraws(), wrapper.optim_context(model), mixed:
        terms = batch.loss_terms(model)
    wrapper.accumulate_gradients(terms)
    wrapper.write_gradients()
    return _flat_gradient(model)


def _flat_gradient(model: nn.Module) -> Tensor:
    """Join the gradients (P,) of all trainable parameters, zero where there is none."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    return torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten().double() for p in parameters])


def relative_errors(found: Results, reference: Results) -> dict[str, float]:
    """Compare results: `|found - reference| / |reference|` of each.

    Args:
        found: What was computed; what it lacks is not compared.
        reference: What it should be.
    """
    return {
        f'{name}_error': float((value - reference[name]).norm() / reference[name].norm().clamp(min=1e-30))
        for name, value in found.items()
    }


def _judged(errors: Mapping[str, float], kind: str) -> dict[str, Any]:
    """Add bounds, and whether all errors keep to them; NaN does not."""
    of_logits, of_rest = BOUNDS[kind]
    is_within = all(error <= (of_logits if name == 'logits_error' else of_rest) for name, error in errors.items())
    return {**errors, 'bounds': BOUNDS[kind], 'is_within': is_within}


def _check_float32(
    method: Method, device: torch.device, references: dict[str, tuple[_Subject, Results]]
) -> dict[str, Any]:
    """Compute the reference of a method, keep it, and compare the device in float32."""
    subject = _Subject(method)
    reference = results_of(subject.copy('cpu', torch.float64), subject.wrapper)
    references[method.name] = subject, reference
    found = relative_errors(results_of(subject.copy(device), subject.wrapper), reference)
    rule = subject.wrapper['modulator']['type'] if subject.has_rule else 'none'
    return {**_judged(found, 'float32'), 'rule': rule, 'num_entries': len(reference['gradient'])}


def _known(references: Mapping[str, tuple[_Subject, Results]], name: str) -> tuple[_Subject, Results]:
    """Return what the float32 check of a method left."""
    if name not in references:
        raise SkipItem(f'there is no reference of {name}: its float32 check was not made')
    return references[name]


def _check_mixed(
    references: Mapping[str, tuple[_Subject, Results]], name: str, device: torch.device, dtype: torch.dtype
) -> dict[str, Any]:
    """Compare the device in mixed precision."""
    subject, reference = _known(references, name)
    found = results_of(subject.copy(device), subject.wrapper, autocast=dtype)
    return _judged(relative_errors(found, reference), _name_of(dtype))


def _check_compiled(name: str, configs: Path, section: Section) -> dict[str, Any]:
    """Compare the scores of a compiled model, in float32; it has one block, as compiling one takes seconds."""
    subject = _Subject(next(method for method in small_methods(configs, is_tiny=True) if method.name == name))
    with torch.no_grad():
        logits = {
            kind: model(Batch.of(model, _BATCH_SIZE).inputs, mode='tensor').double().cpu()
            for kind, model in (
                ('reference', subject.copy('cpu', torch.float64).eval()),
                ('compiled', compiled(subject.copy(section.device).eval(), section)),
            )
        }
    errors = relative_errors({'logits': logits['compiled']}, {'logits': logits['reference']})
    return {**_judged(errors, 'compiled'), 'is_compiled': not section.is_tiny}


def _check_distributed(
    references: Mapping[str, tuple[_Subject, Results]], name: str, device: torch.device
) -> dict[str, Any]:
    """Compare gradient and modulated step of the distributed wrapper, one process, with the bare model's."""
    subject, _ = _known(references, name)
    bare = results_of(subject.copy(device), subject.wrapper)
    with _process_group(device) as backend:
        ids: dict[str, Any] = {'device_ids': [device.index or 0]} if device.type == 'cuda' else {}
        wrapped = FASDistributedDataParallel(subject.copy(device).train(), **ids)
        batch = Batch.of(wrapped.module, _BATCH_SIZE)
        with SameDraws():
            losses = list(batch.loss_terms(wrapped).to_losses().values())
        torch.stack(losses).sum().backward()
        found = {'gradient': _flat_gradient(wrapped).cpu()}
        if subject.has_rule:
            found['step'] = _modulated_gradient(wrapped, subject.wrapper, batch, nullcontext()).cpu()
    return {**_judged(relative_errors(found, bare), 'distributed'), 'backend': backend}


@contextmanager
def _process_group(device: torch.device) -> Iterator[str]:
    """Start a group of this process alone, and end it again; yields its backend."""
    backend = 'nccl' if device.type == 'cuda' else 'gloo'
    if torch.distributed.is_initialized():
        raise SkipItem('there is a process group already; run this in a process of its own')
    with tempfile.TemporaryDirectory() as folder:
        store = torch.distributed.FileStore(str(Path(folder, 'store')), 1)
        torch.distributed.init_process_group(backend, store=store, rank=0, world_size=1)
        try:
            yield backend
        finally:
            torch.distributed.destroy_process_group()
