"""Smaller and faster ONNX graphs: half precision, and 8-bit integers with a calibration on pictures.

Both use onnxruntime's own tools. What they cost in accuracy has to be measured; the graph says what to expect, and
decides by rules that look at no test data which operators keep float32.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from mmfas.deploy.onnx_file import OUTPUTS, onnx_package
from mmfas.utils.errors import InputError, MissingPackageError

__all__ = ['MIN_WEIGHTS', 'to_fp16', 'to_int8']

#: Weights that a matrix or kernel must have to become integers. Routers, gates and classifiers are far smaller:
#: there, an error chooses another expert or moves every score, and converting costs more time than it saves.
MIN_WEIGHTS = 128 * 128
#: Operators that multiply with weights.
_PRODUCTS = ('MatMul', 'Gemm', 'Conv')
#: Samples of a batch of the calibration.
_BATCH = 16
#: Operators that stay in float32 in half precision: sums over many numbers, powers, and what ends in a choice. The
#: smallest number that norms add, 1e-8, is zero in half precision.
_FLOAT32 = (
    'Exp', 'LayerNormalization', 'Pow', 'Reciprocal', 'ReduceL2', 'ReduceMean', 'ReduceSum', 'Softmax', 'Sqrt',
)  # fmt: skip


def to_fp16(model: Any) -> Any:
    """Return a graph in half precision, for accelerators; a CPU is seldom faster with it.

    Inputs and outputs stay what they are. In float32 remain what is easily lost in three digits, and the last
    layer with the softmax behind it.

    Args:
        model: An `onnx.ModelProto` in float32; it is changed.

    Raises:
        ModuleNotFoundError: If onnxruntime is not installed.
    """
    try:
        from onnxruntime.transformers import float16
    except ImportError as error:
        raise MissingPackageError("half precision needs onnxruntime: pip install 'mmfas[deploy]'") from error
    with _quiet():
        return float16.convert_float_to_float16(
            model,
            keep_io_types=True,
            op_block_list=[*float16.DEFAULT_OP_BLOCK_LIST, *_FLOAT32],
            node_block_list=_last_layer(model),
        )


def to_int8(
    model: Any,
    pictures: Mapping[str, np.ndarray],
    *,
    present: np.ndarray | None = None,
    min_weights: int = MIN_WEIGHTS,
) -> Any:
    """Return a graph whose large matrix products and convolutions are computed in 8-bit integers.

    Weights are rounded channel by channel, to 7 bits: with 8, processors without VNNI instructions overflow.
    Inputs of the products are rounded in the range that the calibration sees. All else stays in float32, such as
    attention, norms, small matrices, and the first layer, through which everything passes.

    Args:
        model: An `onnx.ModelProto` in float32; it is not changed.
        pictures: Modality -> pictures (N, 3, H, W), uint8, that the ranges are taken from: of training data.
        present: Boolean mask (N, M); None if all are present.
        min_weights: Weights that a matrix or kernel must have.

    Raises:
        ValueError: If nothing is large enough, or there are no pictures.
        ModuleNotFoundError: If onnxruntime is not installed.
    """
    onnx = onnx_package()
    try:
        from onnxruntime import quantization
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError as error:
        raise MissingPackageError("8-bit integers need onnxruntime: pip install 'mmfas[deploy]'") from error
    batches = list(_batches(model, pictures, present))
    with TemporaryDirectory() as folder, _quiet():
        source, prepared, result = (Path(folder, f'{name}.onnx') for name in ('source', 'prepared', 'result'))
        onnx.save(model, source)
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        names = _large_products(onnx.load(prepared), min_weights)
        if not names:
            raise InputError(f'no layer of the model has {min_weights} weights: it would not gain from integers')
        quantization.quantize_static(
            prepared,
            result,
            _reader(quantization, batches),
            quant_format=quantization.QuantFormat.QDQ,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
            op_types_to_quantize=list(_PRODUCTS),
            nodes_to_quantize=names,
            # results are sums: rounding them as well would cost accuracy and save nothing
            extra_options={'OpTypesToExcludeOutputQuantization': ['MatMul', 'Gemm']},
        )
        return onnx.load(result)


def _batches(
    model: Any, pictures: Mapping[str, np.ndarray], present: np.ndarray | None
) -> Iterator[dict[str, np.ndarray]]:
    """Yield the inputs of the graph, some samples at a time."""
    names = [value.name for value in model.graph.input][:-1]
    lengths = {name: len(pictures.get(name, ())) for name in names}
    num = next(iter(lengths.values()))
    mask = np.ones((num, len(names)), dtype=bool) if present is None else present
    if not num or len(set(lengths.values())) > 1 or mask.shape != (num, len(names)):
        raise InputError(
            f'the calibration needs as many pictures of each of {names} as rows of `present`, but got {lengths} '
            f'and a mask {mask.shape}'
        )
    for start in range(0, num, _BATCH):
        rows = slice(start, start + _BATCH)
        yield {**{name: pictures[name][rows] for name in names}, 'present': mask[rows]}


def _reader(quantization: Any, batches: list[dict[str, np.ndarray]]) -> Any:
    """Return the batches as onnxruntime wants to read them."""

    class Reader(quantization.CalibrationDataReader):
        """Hands out one batch after the other."""

        def __init__(self) -> None:
            self.waiting = iter(batches)

        def get_next(self) -> dict[str, np.ndarray] | None:
            """Return the next batch, or None."""
            return next(self.waiting, None)

    return Reader()


def _large_products(model: Any, min_weights: int) -> list[str]:
    """Name the products with at least so many constant weights, but for the first layers.

    Stacks of matrices, one for each modality or expert, are left out: onnxruntime prepares single matrices when
    it loads them, but stacks each time.
    """
    shapes = {value.name: tuple(value.dims) for value in model.graph.initializer}
    behind: set[str] = set()  # values that a product has part in
    found = []
    for node in model.graph.node:  # in the order of computation
        is_behind = any(name in behind for name in node.input)
        if node.op_type in _PRODUCTS:
            shape = shapes.get(node.input[1], ())
            is_single = len(shape) == 2 or node.op_type == 'Conv'
            if is_behind and is_single and prod(shape) >= min_weights:
                found.append(node.name)
        if is_behind or node.op_type in _PRODUCTS:
            behind.update(node.output)
    return found


def _last_layer(model: Any) -> list[str]:
    """Name the nodes from the last product on, which makes the logits."""
    makers = {name: node for node in model.graph.node for name in node.output}
    found, waiting = [], [makers[name] for name in OUTPUTS]
    while waiting:
        node = waiting.pop()
        found.append(node.name)
        if node.op_type not in _PRODUCTS:
            waiting += [makers[name] for name in node.input if name in makers]
    return list(dict.fromkeys(found))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep advice of onnxruntime's tools to their developers from the user."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
