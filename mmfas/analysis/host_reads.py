"""Where a program makes the host wait for a GPU, found on a machine without one.

A GPU works behind the host's back. Whatever the host must know of a tensor (a value, how many entries are true),
and every copy that is not marked `non_blocking`, makes it wait until all work so far is done. Here tensors of the
meta device, which have shapes but no values, pretend to be on a GPU, and the operators that would wait are noted.
"""

from __future__ import annotations

import copy
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

Model = TypeVar('Model', bound=nn.Module)
aten = torch.ops.aten
#: Operators whose result, or its shape, the host reads.
_READING = frozenset({
    aten._local_scalar_dense.default, aten.nonzero.default, aten.masked_select.default, aten._unique2.default,
    aten.unique_consecutive.default, aten.unique_dim.default, aten.equal.default, aten.bincount.default,
    aten.index.Tensor,
})  # fmt: skip
_COPYING = frozenset({aten._to_copy.default, aten.copy_.default})
#: Packages whose frames say where it happened.
_OURS = ('mmfas', 'mmengine', 'mmpretrain', 'mmcv')


class HostReads(TorchDispatchMode):
    """Notes where the host would wait, and lets the program go on with made-up values.

    Attributes:
        places: File, line and function of each place, in the order of the program; a place can come twice.
    """

    def __init__(self) -> None:
        super().__init__()
        self.places: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run an operator, or make its result up if the host would read it."""
        options = dict(kwargs or {})
        if not _waits(func, args, options):
            return func(*args, **options)
        self.places.append(_described(traceback.extract_stack()))
        if func is aten._local_scalar_dense.default:
            return 1.0 if args[0].is_floating_point() else 1
        if func is aten.nonzero.default:
            return args[0].new_zeros((args[0].numel(), args[0].dim()), dtype=torch.long)
        if func is aten.index.Tensor:
            return args[0].flatten()
        if func is aten._to_copy.default and args[0].is_meta:
            return torch.zeros(args[0].shape, dtype=options.get('dtype') or args[0].dtype)
        return func(*args, **options)

    @staticmethod
    def place_of(trace: TracebackType | None) -> str:
        """Describe where an error came from, such as that of `torch.cuda.set_sync_debug_mode('error')`.

        Args:
            trace: Its traceback.
        """
        return _described(traceback.extract_tb(trace))


def _waits(func: Any, args: tuple[Any, ...], options: Mapping[str, Any]) -> bool:
    """Tell whether the host waits in this operator."""
    tensors = [leaf for leaf in tree_leaves(args) if isinstance(leaf, Tensor)]
    if func is aten.index.Tensor and not any(tensor.dtype == torch.bool for tensor in tensors[1:]):
        return False
    if func in _READING:
        return any(tensor.device.type != 'cpu' for tensor in tensors)
    if func not in _COPYING:
        return False
    target = options.get('device') if func is aten._to_copy.default else tensors[0].device
    source = tensors[-1].device
    is_between = target is not None and torch.device(target).type != source.type
    # copy_(target, source, non_blocking)
    is_free = options.get('non_blocking') or (func is aten.copy_.default and args[2:] == (True,))
    return is_between and (not is_free or source.type != 'cpu')


def _described(frames: Iterable[traceback.FrameSummary]) -> str:
    """Name the innermost frame that is ours or the engine's."""
    own = [f for f in frames if set(_OURS) & set(Path(f.filename).parts) and Path(f.filename).stem != 'host_reads']
    return f'{Path(own[-1].filename).name}:{own[-1].lineno} in {own[-1].name}' if own else 'outside mmfas'


def host_reads_of(model: Model, prepare: Callable[[Model], Callable[[], object]]) -> list[str]:
    """Run something twice with a model without values, and note where the second time the host would wait.

    Args:
        model: A model on the CPU; it is not changed.
        prepare: Takes the copy of it that is on the meta device, and returns what to run.

    Returns:
        Places, each once, in the order of the program.
    """
    run = prepare(copy.deepcopy(model).to('meta'))
    with HostReads():
        run()  # what is set up once may wait
    with HostReads() as reads:
        run()
    return list(dict.fromkeys(reads.places))
