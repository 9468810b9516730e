"""The state of mmengine's message hub as plain numbers, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmfas.utils.errors import WrongTypeError


def plain_message_hub(state: Mapping[str, Any]) -> dict[str, Any]:
    """Turn the state of mmengine's message hub into plain numbers.

    Args:
        state: `MessageHub.state_dict()`, whose scalars are `HistoryBuffer` objects.

    Returns:
        The same with every buffer as a dictionary of `values`, `counts` and `max_length`.
    """
    from mmfas.utils.checkpoint import plain

    scalars = {
        name: dict(values=plain(buffer.data[0]), counts=plain(buffer.data[1]), max_length=buffer.max_length)
        for name, buffer in state['log_scalars'].items()
    }
    return dict(
        log_scalars=scalars, runtime_info=plain(state['runtime_info']), resumed_keys=plain(state['resumed_keys'])
    )


def engine_message_hub(state: Mapping[str, Any]) -> dict[str, Any]:
    """Undo `plain_message_hub`.

    Args:
        state: Result of `plain_message_hub`.

    Returns:
        What `MessageHub.load_state_dict` expects.
    """
    from mmengine.logging import HistoryBuffer

    scalars = {
        name: HistoryBuffer(entry['values'], entry['counts'], entry['max_length'])
        for name, entry in state['log_scalars'].items()
    }
    if not all(isinstance(state[key], Mapping) for key in ('runtime_info', 'resumed_keys')):
        raise WrongTypeError('runtime_info and resumed_keys must be dictionaries')
    return {**state, 'log_scalars': scalars}
