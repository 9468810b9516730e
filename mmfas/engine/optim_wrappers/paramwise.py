"""Patterns of `custom_keys` that set nothing, because no parameter takes them."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Mapping
from typing import Any

from mmengine.logging import print_log
from torch import nn


def idle_patterns(paramwise_cfg: Mapping[str, Any] | None, model: nn.Module) -> dict[str, str]:
    """Find patterns that mmengine's default constructor applies to no parameter.

    A pattern is a part of a name, not an expression; of those that a name holds the longest counts. Parameters
    that are not trained are left out.

    Args:
        paramwise_cfg: Factors of the parameters, with or without `custom_keys`.
        model: The model.

    Returns:
        Pattern -> why it sets nothing.
    """
    patterns = (paramwise_cfg or {}).get('custom_keys') or {}
    names = {
        f'.{name}'.removeprefix('.') if '.' in name else f'.{name}': p for name, p in model.named_parameters()
    }
    order = sorted(sorted(patterns), key=len, reverse=True)
    taken = {next((key for key in order if key in name), None) for name, p in names.items() if p.requires_grad}
    return {key: _reason(key, order, names) for key in patterns if key not in taken}


def _reason(key: str, order: list[str], names: Mapping[str, nn.Parameter]) -> str:
    """Say why a pattern sets nothing."""
    found = [name for name in names if key in name]
    if not found:
        parts = {'.'.join(name.split('.')[:depth]) for name in names for depth in range(1, name.count('.') + 2)}
        near = difflib.get_close_matches(key, sorted(parts - {''}), n=1)
        return 'no parameter has it in its name' + (f', did you mean {near[0]}?' if near else '')
    trained = [name for name in found if names[name].requires_grad]
    if not trained:
        return f'the {len(found)} parameters with it in their names are not trained'
    first = next(other for other in order if other in trained[0])
    return f'every parameter with it in its name takes another pattern first, such as {first!r}'


def warn_of_idle_patterns(paramwise_cfg: Mapping[str, Any] | None, model: nn.Module) -> None:
    """Warn of every pattern of `custom_keys` that sets nothing.

    Args:
        paramwise_cfg: Factors of the parameters, or None.
        model: The model.
    """
    for key, reason in idle_patterns(paramwise_cfg, model).items():
        print_log(
            f'optim_wrapper.paramwise_cfg.custom_keys.{key} sets nothing: {reason}',
            logger='current',
            level=logging.WARNING,
        )
