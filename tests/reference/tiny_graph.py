"""A graph with the inputs and outputs of an exported model, made by hand in milliseconds."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmfas.deploy.onnx_file import OnnxHeader, pack
from mmfas.structures import MODALITIES

SIZE = (8, 6)
#: Effect of the mean of each picture on the logits (M, 2).
WEIGHT = np.array([[0.0, 0.01], [0.0, 0.02], [0.0, -0.03]], np.float32)


def tiny_graph() -> Any:
    """Make an `onnx.ModelProto`: logits are the means of the present pictures times `WEIGHT`."""
    from onnx import TensorProto, helper, numpy_helper

    images = [helper.make_tensor_value_info(m, TensorProto.UINT8, ['batch', 3, *SIZE]) for m in MODALITIES]
    present = helper.make_tensor_value_info('present', TensorProto.BOOL, ['batch', len(MODALITIES)])
    outputs = [
        helper.make_tensor_value_info('score', TensorProto.FLOAT, ['batch']),
        helper.make_tensor_value_info('logits', TensorProto.FLOAT, ['batch', 2]),
    ]
    nodes = []
    for m in MODALITIES:
        nodes.append(helper.make_node('Cast', [m], [f'{m}_float'], to=TensorProto.FLOAT))
        nodes.append(helper.make_node('ReduceMean', [f'{m}_float', 'axes'], [f'{m}_mean'], keepdims=0))
        nodes.append(helper.make_node('Unsqueeze', [f'{m}_mean', 'one'], [f'{m}_column']))
    nodes += [
        helper.make_node('Concat', [f'{m}_column' for m in MODALITIES], ['columns'], axis=1),
        helper.make_node('Cast', ['present'], ['there'], to=TensorProto.FLOAT),
        helper.make_node('Mul', ['columns', 'there'], ['seen']),
        helper.make_node('MatMul', ['seen', 'weight'], ['logits']),
        helper.make_node('Softmax', ['logits'], ['chances'], axis=1),
        helper.make_node('Gather', ['chances', 'live'], ['score'], axis=1),
    ]
    constants = [
        numpy_helper.from_array(np.array([1, 2, 3]), 'axes'),
        numpy_helper.from_array(np.array([1]), 'one'),
        numpy_helper.from_array(np.array(1), 'live'),
        numpy_helper.from_array(WEIGHT, 'weight'),
    ]
    graph = helper.make_graph(nodes, 'tiny', [*images, present], outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', 20)], ir_version=10)


def tiny_file(graph: Any = None, **metadata: Any) -> bytes:
    """Make the bytes of a file as `mmfas export` writes them."""
    return pack(tiny_graph() if graph is None else graph, OnnxHeader(MODALITIES, SIZE, 'fp32', metadata))
