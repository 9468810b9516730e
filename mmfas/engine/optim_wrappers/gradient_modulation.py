"""Optimizer wrappers that treat the gradients of the modalities separately before they become one step.

Legend: M modalities, P entries of all trainable parameters, N parameters.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import torch
import torch._functorch.config as functorch_config
from mmengine.dist import get_world_size
from mmengine.logging import print_log
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch import Tensor, nn

from mmfas.engine.modulators import BaseModulator, ModalityGradients
from mmfas.engine.modulators.segments import inner_products, ratio
from mmfas.engine.optim_wrappers.gradient_layout import GradientLayout, Pieces, owned_pieces
from mmfas.engine.optim_wrappers.gradient_sums import GradientSums
from mmfas.registry import GRADIENT_MODULATORS, OPTIM_WRAPPERS
from mmfas.structures import LossTerms, ModalityOffer, expect_repeats
from mmfas.utils.errors import InputError, RunError
from mmfas.utils.optim_options import clipping_problems


class _GradientModulation(OptimWrapper):
    """Replace the backward pass of an optimizer wrapper: one gradient per term, reduced, modulated, written.

    Gradients come from `torch.autograd.grad`, which distributed wrappers do not see; so their own reduction is
    switched off, and everything is reduced here once per step, before it is modulated: modulation is not linear,
    and its result must be that of one process with the whole batch.
    """

    #: Tells the training step to hand over the separate loss terms.
    needs_loss_terms = True
    modulator: BaseModulator
    #: Scalars of the last step, left on their device: what the rule reports, and `grad_norm_<m>`,
    #: `grad_cos_<m>_<n>` over all parameters, if they were measured.
    statistics: dict[str, Tensor]
    #: Whether the next step measures norms and cosines, which takes gradients that not every rule needs.
    #: `ModulationLogHook` asks for it in the steps that it logs. Accumulated steps measure always.
    measures_gradients: bool = False

    def _set_up(self, modulator: dict[str, Any] | BaseModulator) -> None:
        self.modulator = GRADIENT_MODULATORS.build(modulator) if isinstance(modulator, dict) else modulator
        self.statistics = {}
        self._names: dict[int, str] = {}
        self._pieces: Pieces = {}
        self._layouts: dict[tuple[Any, ...], GradientLayout] = {}
        self._sums: GradientSums | None = None
        self._is_checked = False
        self._offer = ModalityOffer()
        self._has_seen_terms = False

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Run the forward pass without the reduction of a distributed wrapper.

        Args:
            model: Model or its wrapper.

        Raises:
            ValueError: If the wrapper runs with `static_graph`, two modalities own the same entries, or the rule
                would change nothing in this model.
        """
        if not self._names:
            self._register_parameters(model)
        with ExitStack() as stack:
            no_sync: Any = getattr(model, 'no_sync', None)
            if no_sync is not None:
                stack.enter_context(no_sync())
            stack.enter_context(super().optim_context(model))
            yield

    def _register_parameters(self, model: nn.Module) -> None:
        """Note names and owners of the parameters, once before the first forward pass."""
        if getattr(model, 'static_graph', False):
            raise InputError(
                f'{type(self).__name__} goes through the graph once per loss, which static_graph forbids; take '
                'static_graph out of model_wrapper_cfg'
            )
        # otherwise the first backward pass of a compiled graph would free memory that the next one reads
        functorch_config.donated_buffer = False
        core: nn.Module = getattr(model, 'module', model)
        expect_repeats(core)
        self._pieces = owned_pieces(core)
        self._names = {id(parameter): name for name, parameter in core.named_parameters()}
        declared: Any = getattr(core, 'modality_offer', None)
        if declared is None:
            self._offer = ModalityOffer(head=type(core).__name__, neck=type(core).__name__)
        else:
            self._offer = declared()
            self._refuse_idle_rule(self._offer)
            doubt = self.modulator.doubt(self._offer)
            if doubt is not None:
                print_log(doubt, logger='current', level=logging.WARNING)

    def _refuse_idle_rule(self, offer: ModalityOffer) -> None:
        """Refuse a model in which the rule would change nothing: a result would carry its name without it."""
        refusal = self.modulator.refusal(offer)
        if refusal is not None:
            raise InputError(f'optim_wrapper.modulator: {refusal}')

    def _meet_terms(self, terms: LossTerms, layout: GradientLayout) -> None:
        """Hold what the first batch brings against what the rule needs, whatever the model declared."""
        self._has_seen_terms = True
        facts = replace(self._offer, losses=tuple(terms.per_modality), has_confidence=bool(terms.confidence))
        if self._names:
            owned = [name for p, name in zip(layout.parameters, layout.names) if id(p) in self._pieces]
            facts = replace(facts, trained=layout.names, owned=tuple(owned))
        self._refuse_idle_rule(facts)

    def update_params(
        self,
        loss: Tensor,
        step_kwargs: dict[str, Any] | None = None,
        zero_kwargs: dict[str, Any] | None = None,
        *,
        loss_terms: LossTerms | None = None,
    ) -> None:
        """Add the gradients of one batch and, once all batches of a step are there, update.

        Args:
            loss: Sum of all terms; used only where there are no separate terms.
            step_kwargs: Arguments of `step`.
            zero_kwargs: Arguments of `zero_grad`.
            loss_terms: Separate terms; without them or without terms per modality this is the stock method, which
                only a rule that is meant to do nothing (`Sum`) may fall back to.

        Raises:
            RuntimeError: If terms are missing with several processes: their gradients would not be reduced.
            ValueError: If terms are missing, or those of the first batch give the rule nothing to change.
        """
        if loss_terms is None:
            if get_world_size() > 1:
                raise RunError(
                    f'{type(self).__name__} needs loss terms with several processes; set model_wrapper_cfg='
                    "dict(type='FASDistributedDataParallel') and use a model that returns LossTerms"
                )
            self._refuse_idle_rule(replace(self._offer, losses=()))
            super().update_params(loss, step_kwargs, zero_kwargs)
            return
        self.accumulate_gradients(loss_terms, loss)
        self._inner_count += 1
        if self.should_update():
            self.write_gradients()
            self.step(**(step_kwargs or {}))
            self.zero_grad(**(zero_kwargs or {}))

    def accumulate_gradients(self, terms: LossTerms, total: Tensor | None = None) -> None:
        """Add gradients, counts and losses of a batch to those since the last step.

        A rule that reads only what modalities own costs less: the gradients of a modality's loss stop at those
        parameters, and one backward pass of all losses gives the plain sum for the others. The counts must be
        final for that, so it is not done where batches are accumulated.

        Args:
            terms: Losses of the batch, with their graph, which is freed.
            total: Sum of all losses, those of the modalities as means; made from the terms if None.
        """
        modalities = tuple(terms.per_modality)
        if self._sums is None:
            self._sums = self._new_sums(modalities)
        sums = self._sums
        if not self._has_seen_terms:
            self._meet_terms(terms, sums.layout)
        # This one comes last: its graph is the largest, and the last pass may free it.
        if not sums.is_total:
            last = torch.stack(list(terms.main.values())).sum()
        else:
            last = torch.stack(list(terms.to_losses().values())).sum() if total is None else total
        # A rule needs the gradient of every modality by itself, and a backward pass gives the gradient of one
        # scalar: hence M + 1 passes through one graph. Sums and counts are added up separately and divided in the
        # end, because a mean of the means of several batches or processes would weight their samples unequally.
        losses = [*(summed for summed, _ in terms.per_modality.values()), self.scale_loss(last)]
        for index, loss in enumerate(losses):
            keep, scaled, parameters = index < len(modalities), self._scaled(loss), sums.parameters_of(index)
            if not parameters:  # no modality owns anything
                continue
            # not named: a name would keep the gradients of this pass during the next one
            sums.add_gradients(
                index, torch.autograd.grad(scaled, parameters, retain_graph=keep, allow_unused=True)
            )
        sums.add_terms(terms)

    def write_gradients(self) -> None:
        """Reduce what was accumulated, modulate it and write it where the optimizer looks."""
        sums, self._sums = self._sums, None
        if sums is None:
            raise RunError('there are no gradients to write: call accumulate_gradients first')
        is_used = sums.reduce()
        self._check_reach(sums.layout, is_used)
        gradients, flat = sums.gradients(self._loss_scale())
        head = gradients.main
        if sums.modalities:
            head = self.modulator.modulate(gradients) + head
            self.statistics = self.modulator.describe(gradients)
            if sums.is_measured:
                self.statistics = {**self._measure(gradients, sums.rows), **self.statistics}
        for parameter, where, has_gradient in zip(
            sums.layout.parameters, sums.layout.slices, is_used, strict=True
        ):
            values = head if where.stop <= sums.num_read else flat
            # A parameter without any gradient keeps none, or weight decay would move it.
            parameter.grad = values[where].view_as(parameter).to(parameter.dtype) if has_gradient else None

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

    def _loss_scale(self) -> Tensor | None:
        """Return the loss scale of mixed precision, scalar; none here."""
        return None

    def _new_sums(self, modalities: tuple[str, ...]) -> GradientSums:
        """Start to sum for a step."""
        layout = self._layout(modalities)
        num_owned = layout.segments.num_entries
        return GradientSums(
            layout,
            modalities,
            num_read=layout.num_entries if self.modulator.reads_shared else num_owned,
            is_measured=self.measures_gradients or self._accumulative_counts > 1,
        )

    def _layout(self, modalities: tuple[str, ...]) -> GradientLayout:
        """Return the layout of what is trainable now."""
        groups = self.optimizer.param_groups
        trainable = [parameter for group in groups for parameter in group['params'] if parameter.requires_grad]
        key = (modalities, *map(id, trainable))
        if key not in self._layouts:
            layout = GradientLayout.of(trainable, pieces=self._pieces, names=self._names, modalities=modalities)
            self._layouts = {key: layout}
        return self._layouts[key]

    def _measure(self, gradients: ModalityGradients, rows: Tensor) -> dict[str, Tensor]:
        """Return norm and cosines of the gradients of the modalities (M, P), without loss scale."""
        rest = inner_products(rows[:, gradients.segments.num_entries :])
        products = gradients.segment_products.sum(0) + rest
        norms = products.diagonal().sqrt()
        cosines = ratio(products, norms[:, None] * norms)
        unit = 1.0 if gradients.scale is None else gradients.scale
        names = list(enumerate(gradients.modalities))
        found = {f'grad_norm_{name}': norms[i] / unit for i, name in names}
        return found | {f'grad_cos_{a}_{b}': cosines[i, j] for i, a in names for j, b in names[i + 1 :]}

    def _check_reach(self, layout: GradientLayout, is_used: list[bool]) -> None:
        """Warn once of parameters that no loss reaches."""
        if self._is_checked:
            return
        self._is_checked = True
        lost = [name for name, has_gradient in zip(layout.names, is_used, strict=True) if not has_gradient]
        if lost:
            print_log(
                f'{len(lost)} trainable parameters get no gradient from any loss, first {", ".join(lost[:3])}. '
                'That is harmless where nobody reads what they compute; with activation checkpointing it means '
                'that the reentrant kind is on: set use_reentrant=False',
                logger='current',
                level=logging.WARNING,
            )


def _checked(clip_grad: dict[str, Any] | None, accumulative_counts: int) -> dict[str, Any] | None:
    """Return a copy of `clip_grad`, or refuse what no training can mean."""
    found = () if clip_grad is None else clipping_problems(clip_grad)
    problems = [f'clip_grad.{key}: {problem}' for key, problem in found]
    if accumulative_counts < 1:
        problems.append(f'accumulative_counts: must be at least 1, got {accumulative_counts}')
    if problems:
        raise InputError('; '.join(problems))
    return None if clip_grad is None else dict(clip_grad)


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
        super().__init__(optimizer, accumulative_counts, _checked(clip_grad, accumulative_counts))
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
            clip_grad=_checked(clip_grad, accumulative_counts),
        )
        self._set_up(modulator)

    def _scaled(self, loss: Tensor) -> Tensor:
        return self.loss_scaler.scale(loss)

    def _loss_scale(self) -> Tensor:
        return self._scaled(torch.ones((), device=self.optimizer.param_groups[0]['params'][0].device))
