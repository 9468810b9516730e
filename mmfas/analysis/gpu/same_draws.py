"""The same random numbers on every device and in every precision, so that results can be compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_BY_SIZE: dict[Any, Callable[..., Tensor]] = {torch.rand: torch.rand, torch.randn: torch.randn}
_LIKE: dict[Any, Callable[..., Tensor]] = {torch.rand_like: torch.rand, torch.randn_like: torch.randn}


class SameDraws(TorchFunctionMode):
    """Within this context, `torch.rand`, `randn` and their `_like` draw on the CPU in float32, from one seed.

    Draws with a generator of their own are left alone. Dropout is not reached: see `without_dropout`.

    Args:
        seed: The seed.

    >>> with SameDraws(0):
    ...     one = torch.rand(2, dtype=torch.float64)
    >>> with SameDraws(0):
    ...     bool((one == torch.rand(2)).all())
    True
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self._generator = torch.Generator().manual_seed(seed)

    def __torch_function__(
        self,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Draw in place of torch."""
        options = dict(kwargs or {})
        if options.get('generator') is not None or func not in (*_BY_SIZE, *_LIKE):
            return func(*args, **options)
        if func in _LIKE:
            like = args[0]
            drawn = _LIKE[func](like.shape, generator=self._generator)
            return drawn.to(like.device, options.get('dtype') or like.dtype)
        size = args or (options['size'],)
        drawn = _BY_SIZE[func](*size, generator=self._generator)
        return drawn.to(options.get('device') or 'cpu', options.get('dtype') or torch.get_default_dtype())


def without_dropout(model: nn.Module) -> nn.Module:
    """Switch dropout off in place, which draws differently on every device.

    Args:
        model: The model.

    Returns:
        The same model.
    """
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model
