"""Rules that modulate gradients, checked against the model of a config: would they change anything?"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any, cast

from torch import nn

from mmfas.registry import GRADIENT_MODULATORS, register_all_modules


def idle_rule_problems(
    cfg: Mapping[str, Any], built: nn.Module | Exception, scope: str, notes: list[str]
) -> Iterator[str]:
    """Find a rule that would change nothing, so that a result would carry its name without its effect.

    A model that cannot be built is left to what builds it; one of another toolkit, which cannot say what it
    offers, is looked at before the first step.

    Args:
        cfg: A whole config as for Runner in which nothing else is wrong.
        built: Its model, see `mmfas.config.fitting.build_without_memory`.
        scope: Where types without a prefix are looked up.
        notes: Takes the line, if the rule changes nothing in this model but may be meant for a comparison.

    Yields:
        One line, if the rule would change nothing or cannot be built.
    """
    wrapper = cfg.get('optim_wrapper')
    rule = wrapper.get('modulator') if isinstance(wrapper, Mapping) else None
    if not isinstance(rule, Mapping) or cfg.get('train_cfg') is None:
        return
    register_all_modules()
    try:
        built_rule = GRADIENT_MODULATORS.build({'_scope_': scope, **copy.deepcopy(dict(rule))})
    except (TypeError, ValueError) as error:
        yield f'optim_wrapper.modulator: {error}'
        return
    offer = _offer_of(built)
    if offer is None:
        return
    refusal, doubt = built_rule.refusal(offer), built_rule.doubt(offer)
    if refusal is not None:
        yield f'optim_wrapper.modulator: {refusal}'
    elif doubt is not None:
        notes.append(f'optim_wrapper.modulator: {doubt}')


def _offer_of(built: nn.Module | Exception) -> Any:
    """Return what a model offers; None if it cannot say."""
    try:
        return cast(Any, built).modality_offer()
    except Exception:  # a model may do anything to find out; training says what is wrong with it
        return None
