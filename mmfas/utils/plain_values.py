"""Plain values: what checkpoints hold beside tensors, so that the restricted unpickler takes them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from mmfas.utils.errors import WrongTypeError


def plain(value: Any) -> Any:
    """Copy nested data with numpy values as Python numbers and lists, and special dicts as plain ones.

    Args:
        value: Nested mappings, lists, tuples, tensors, numbers, strings.

    Returns:
        The same data, made of what the restricted unpickler accepts.

    Raises:
        TypeError: If something else is in it.

    >>> import numpy as np
    >>> plain(dict(best=np.float64(0.25), steps=(np.int64(3), np.array([1.5]))))
    {'best': 0.25, 'steps': (3, [1.5])}
    """
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        items = [plain(item) for item in value]
        return tuple(items) if isinstance(value, tuple) else items
    if value is None or isinstance(value, bool | int | float | str | bytes | Tensor):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise WrongTypeError(
        f'a checkpoint holds tensors and plain values only, but got a {type(value).__name__}: {value!r:.80}'
    )
