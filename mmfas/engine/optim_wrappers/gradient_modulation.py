"""Optimizer wrappers that treat the gradients of the modalities separately before they become one step.

Legend: M modalities, P entries of all trainable parameters, N parameters.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch import Tensor, nn

from mmfas.engine.modulators import BaseModulator, ModalityGradients
from mmfas.registry import GRADIENT_MODULATORS, OPTIM_WRAPPERS
from mmfas.structures import LossTerms


def _flat(parameter: Tensor, grad: Tensor | None) -> Tensor:
    """Return a gradient as a float32 vector; zeros where there is none."""
    return (parameter.new_zeros(parameter.numel()) if grad is None else grad.flatten()).float()


class _GradientModulation(OptimWrapper):
    """Replace the backward pass of an optimizer wrapper: one gradient per term, reduced, modulated, written.

    Gradients come from `torch.autograd.grad`, which distributed wrappers do not see; so their own reduction is
    switched off, and everything is reduced here once per step, before it is modulated: modulation is not linear,
    and its result must be that of one process with the whole batch.
    """

    #: Tells the training step to hand over the separate loss terms.
    needs_loss_terms = True
    modulator: BaseModulator

    def _set_up(self, modulator: dict[str, Any] | BaseModulator) -> None:
        self.modulator = GRADIENT_MODULATORS.build(modulator) if isinstance(modulator, dict) else modulator
        self._names: dict[int, str] = {}
        self._sums: dict[str, Tensor] = {}
        self._modalities: tuple[str, ...] = ()
        self._used: list[bool] = []

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Run the forward pass without the reduction of a distributed wrapper.

        Args:
            model: Model or its wrapper.
        """
        if not self._names:
            core: nn.Module = getattr(model, 'module', model)
            self._names = {id(parameter): name for name, parameter in core.named_parameters()}
        with ExitStack() as stack:
            no_sync: Any = getattr(model, 'no_sync', None)
            if no_sync is not None:
                stack.enter_context(no_sync())
            stack.enter_context(super().optim_context(model))
            yield

    def update_params(
        self,
        loss: Tensor,
        step_kwargs: dict[str, Any] | None = None,
        zero_kwargs: dict[str, Any] | None = None,
        *,
        loss_terms: LossTerms | None = None,
    ) -> None:
        """Take the gradients of one batch and, when it is time, step.

        Args:
            loss: Sum of all terms; used only where there are no separate terms.
            step_kwargs: Arguments of `step`.
            zero_kwargs: Arguments of `zero_grad`.
            loss_terms: Separate terms; without them or without terms per modality this is the stock method.

        Raises:
            RuntimeError: If terms are missing with several processes: their gradients would not be reduced.
        """
        if loss_terms is None:
            if get_world_size() > 1:
                raise RuntimeError(
                    f'{type(self).__name__} needs loss terms with several processes; set model_wrapper_cfg='
                    "dict(type='FASDistributedDataParallel') and use a model that returns LossTerms"
                )
            super().update_params(loss, step_kwargs, zero_kwargs)
            return
        self._accumulate(loss_terms)
        self._inner_count += 1
        if self.should_update():
            self._write_gradients()
            self.step(**(step_kwargs or {}))
            self.zero_grad(**(zero_kwargs or {}))

    def state_dict(self) -> dict[str, Any]:
        """Return the state of optimizer and modulator."""
        return {**super().state_dict(), 'modulator': self.modulator.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        own = dict(state_dict)
        self.modulator.load_state_dict(own.pop('modulator', {}))
        super().load_state_dict(own)

    def _scaled(self, loss: Tensor) -> Tensor:
        """Apply the loss scale of mixed precision; none here."""
        return loss

    def _parameters(self) -> list[nn.Parameter]:
        groups = self.optimizer.param_groups
        return [parameter for group in groups for parameter in group['params'] if parameter.requires_grad]

    def _accumulate(self, terms: LossTerms) -> None:
        """Add gradients, counts and losses of a batch to those since the last step."""
        parameters = self._parameters()
        self._modalities = tuple(terms.per_modality)
        # The main losses come last: their graph is the largest, and the last pass may free it.
        losses = [total for total, _ in terms.per_modality.values()]
        losses.append(self.scale_loss(torch.stack(list(terms.main.values())).sum()))
        rows = []
        used = [False] * len(parameters)
        for index, loss in enumerate(losses):
            keep = index < len(losses) - 1
            grads = torch.autograd.grad(self._scaled(loss), parameters, retain_graph=keep, allow_unused=True)
            used = [was or grad is not None for was, grad in zip(used, grads, strict=True)]
            rows.append(torch.cat([_flat(p, grad) for p, grad in zip(parameters, grads, strict=True)]))
        self._used = [a or b for a, b in zip(used, self._used or used, strict=True)]
        values = [total.detach().float() for total, _ in terms.per_modality.values()]
        counts = [count.detach().float() for _, count in terms.per_modality.values()]
        # Weighted with the counts: a batch without a modality says nothing about the trust in it.
        trust = [
            terms.confidence[name].detach().float() * count
            for name, count in zip(self._modalities, counts, strict=True)
            if terms.confidence
        ]
        new = {'rows': torch.stack(rows)}
        for name, column in (('losses', values), ('counts', counts), ('confidence', trust)):
            new[name] = torch.stack(column) if column else rows[0].new_zeros(0)
        self._sums = {name: value + self._sums[name] if self._sums else value for name, value in new.items()}

    def _write_gradients(self) -> None:
        """Reduce what was accumulated, modulate it and write it where the optimizer looks."""
        parameters = self._parameters()
        sums, used = self._reduce(len(parameters))
        world = get_world_size()
        counts = sums['counts']
        share = counts.clamp(min=1)
        sizes = [parameter.numel() for parameter in parameters]
        ends = torch.tensor(sizes).cumsum(0).tolist()
        slices = tuple(slice(end - size, end) for end, size in zip(ends, sizes, strict=True))
        flat = sums['rows'][-1] / world
        if self._modalities:
            gradients = ModalityGradients(
                modalities=self._modalities,
                rows=sums['rows'][:-1] / share[:, None],
                losses=sums['losses'] / share,
                counts=counts,
                confidence=sums['confidence'] / share if sums['confidence'].numel() else None,
                slices=slices,
                names=tuple(self._names.get(id(parameter), '') for parameter in parameters),
            )
            flat = flat + self.modulator.modulate(gradients)
        for parameter, where, is_used in zip(parameters, slices, used, strict=True):
            # A parameter without any gradient keeps none, or weight decay would move it.
            parameter.grad = flat[where].view_as(parameter).to(parameter.dtype) if is_used else None
        self._sums, self._used = {}, []

    def _reduce(self, num_parameters: int) -> tuple[dict[str, Tensor], list[bool]]:
        """Sum everything over the processes in one message; tell which parameters have a gradient anywhere."""
        if get_world_size() == 1:
            return self._sums, self._used
        rows = self._sums['rows']
        mask = torch.tensor(self._used, dtype=rows.dtype, device=rows.device)
        packed = torch.cat([*(value.flatten() for value in self._sums.values()), mask])
        all_reduce(packed)
        *parts, mask = packed.split([*(value.numel() for value in self._sums.values()), num_parameters])
        sums = {name: part.view_as(old) for part, (name, old) in zip(parts, self._sums.items(), strict=True)}
        # The host waits for the mask only on a process that lacks a gradient itself.
        return sums, self._used if all(self._used) else (mask > 0).tolist()


@OPTIM_WRAPPERS.register_module()
class GradientModulationOptimWrapper(_GradientModulation):
    """Optimizer wrapper that modulates the gradients of the modalities with a rule.

    The gradient is that of the main losses plus what the rule makes of one gradient per modality. Gradient
    accumulation sums gradients and counts and modulates once per step, so that the loss of a modality is its mean
    over all samples that have it.

    Args:
        optimizer: The optimizer.
        modulator: Config of a gradient modulator, or the modulator.
        accumulative_counts: Batches per step.
        clip_grad: Clipping after modulation, as in mmengine.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        modulator: dict[str, Any] | BaseModulator,
        *,
        accumulative_counts: int = 1,
        clip_grad: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(optimizer, accumulative_counts, None if clip_grad is None else dict(clip_grad))
        self._set_up(modulator)


@OPTIM_WRAPPERS.register_module()
class AmpGradientModulationOptimWrapper(_GradientModulation, AmpOptimWrapper):
    """`GradientModulationOptimWrapper` in mixed precision.

    Args:
        optimizer: The optimizer.
        modulator: Config of a gradient modulator, or the modulator.
        loss_scale: `'dynamic'`, a fixed scale, or arguments of torch's `GradScaler`.
        dtype: `'float16'` or `'bfloat16'`; that of autocast if None.
        accumulative_counts: Batches per step.
        clip_grad: Clipping after modulation, as in mmengine.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        modulator: dict[str, Any] | BaseModulator,
        *,
        loss_scale: str | float | dict[str, Any] = 'dynamic',
        dtype: str | None = None,
        accumulative_counts: int = 1,
        clip_grad: dict[str, Any] | None = None,
    ) -> None:
        AmpOptimWrapper.__init__(
            self,
            loss_scale,
            dtype,
            optimizer=optimizer,
            accumulative_counts=accumulative_counts,
            clip_grad=None if clip_grad is None else dict(clip_grad),
        )
        self._set_up(modulator)

    def _scaled(self, loss: Tensor) -> Tensor:
        return self.loss_scaler.scale(loss)
