"""Rules that modulate gradients, checked against the model of a config: would they change anything?"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from mmfas.registry import GRADIENT_MODULATORS, MODELS, register_all_modules


def idle_rule_problems(cfg: Mapping[str, Any], scope: str) -> Iterator[str]:
    """Find a rule that would change nothing, so that a result would carry its name without its effect.

    The model is built on the meta device, without memory and in a fraction of a second, where it can be. One that
    cannot be built is left to what builds it; one of another toolkit, which cannot say what it offers, is looked
    at before the first step.

    Args:
        cfg: A whole config as for Runner in which nothing else is wrong.
        scope: Where types without a prefix are looked up.

    Yields:
        One line, if the rule would change nothing or cannot be built.
    """
    wrapper, model = cfg.get('optim_wrapper'), cfg.get('model')
    rule = wrapper.get('modulator') if isinstance(wrapper, Mapping) else None
    if not isinstance(rule, Mapping) or not isinstance(model, Mapping) or cfg.get('train_cfg') is None:
        return
    register_all_modules()
    try:
        built_rule = GRADIENT_MODULATORS.build({'_scope_': scope, **copy.deepcopy(dict(rule))})
    except (TypeError, ValueError) as error:
        yield f'optim_wrapper.modulator: {error}'
        return
    offer = _offer_of({'_scope_': scope, **model})
    refusal = None if offer is None else built_rule.refusal(offer)
    if refusal is not None:
        yield f'optim_wrapper.modulator: {refusal}'


def _offer_of(model: dict[str, Any]) -> Any:
    """Build a model, on the meta device if possible, and return what it offers; None if it cannot say."""
    for device in ('meta', 'cpu'):  # a constructor that reads its own parameters cannot run on the meta device
        try:
            with torch.device(device):
                return MODELS.build(copy.deepcopy(model)).modality_offer()
        except Exception:  # a model may do anything while it is built; training says what is wrong with it
            continue
    return None
