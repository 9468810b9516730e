"""Weights of a vision transformer out of an ONNX file.

Exporters keep the names of most tensors. The matrix of a linear layer often loses its name, and is turned round,
when it becomes an operand of `MatMul`; then the name of the operator, or the scopes noted in it, name the layer.
Positions that the graph interpolates are cut in two, class token and patches, and lose their name.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmfas.models.weights.vit import SOURCE_RULES, convert_vit
from mmfas.utils.errors import InputError, MissingFileError, MissingPackageError

#: Key under which torch's exporter notes in which modules an operator was.
_SCOPES = 'pkg.torch.onnx.name_scopes'
#: Sources with DINOv2's layout, whoever trained them.
DINOV2_SOURCES = ('dinov2', 'hf_dinov2')


def weights_of_onnx(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read the tensors of an ONNX file under the names that they had in the network.

    Args:
        path: File to read; tensors that it keeps in files beside it are read, too.

    Returns:
        Names -> tensors; matrices of linear layers as (out, in).

    Raises:
        FileNotFoundError: If there is no such file.
        ModuleNotFoundError: If the package onnx is missing.
        ValueError: If it is not an ONNX file.
    """
    try:
        import onnx
        from onnx import numpy_helper
    except ModuleNotFoundError as error:
        raise MissingPackageError("ONNX files need further packages: pip install 'mmfas[deploy]'") from error
    if not Path(path).is_file():
        raise MissingFileError(f"'{path}' does not exist or is not a file; check the path")
    try:
        graph = onnx.load(str(path)).graph
    except Exception as error:  # of protobuf, which has no class of its own for it
        raise InputError(f"'{path}' is not an ONNX file: {type(error).__name__}") from error
    # numpy's arrays of a file are not writable
    tensors = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in graph.initializer}
    matrices = _matrices(graph, tensors)
    named = {name: value for name, value in tensors.items() if name not in matrices}
    named |= {f'{layer}.weight': tensors[name].t() for name, layer in matrices.items()}
    return {**_joined_positions(graph, tensors), **named}


def convert_any_vit(
    state_dict: Mapping[str, Tensor], sources: Iterable[str] = tuple(SOURCE_RULES)
) -> dict[str, Tensor]:
    """Convert the weights of a vision transformer whose source is to be found out.

    Args:
        state_dict: Names -> tensors; what no source knows is left out if the rest makes up a transformer.
        sources: Sources to try, in this order.

    Returns:
        Names of mmpretrain -> float32 tensors.

    Raises:
        ValueError: If no source has these names.
    """
    given = {name.removeprefix('model.'): value for name, value in state_dict.items() if value.is_floating_point()}
    given = {name: value for name, value in given.items() if not re.match(r'(onnx::|/|val_|_)', name)}
    sources = tuple(sources)
    for source in sources:
        try:
            return convert_vit(given, source)
        except InputError:
            continue
    raise InputError(
        f'this is not a vision transformer of {", ".join(sources)}: {len(given)} named tensors, such as '
        f'{sorted(given)[:5]}; was it exported with a free batch size?'
    )


def _matrices(graph: Any, tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Find matrices (in, out) without the name of a layer: name of the tensor -> name of the layer."""
    found = {}
    for node in graph.node:
        operand = node.input[1] if node.op_type == 'MatMul' and len(node.input) == 2 else ''
        if operand in tensors and tensors[operand].dim() == 2 and not operand.endswith('.weight'):
            layer = _layer_of(node)
            if layer:
                found[operand] = layer
    return found


def _joined_positions(graph: Any, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Put positions together again that were cut into (1, 1, C) and (1, N, C), under Hugging Face's name.

    The first part is an operand of `Concat`, the second is reshaped to a grid, both in the same module.
    """
    halves: dict[str, dict[str, Tensor]] = {}
    for node in graph.node:
        value = tensors.get(node.input[0]) if node.op_type in ('Concat', 'Reshape') else None
        if value is not None and value.dim() == 3 and value.is_floating_point():
            halves.setdefault(_layer_of(node), {})[node.op_type] = value
    return {
        f'{module}.position_embeddings': torch.cat([half['Concat'], half['Reshape']], dim=1)
        for module, half in halves.items()
        if len(half) == 2 and half['Concat'].shape[::2] == half['Reshape'].shape[::2]
    }


def _layer_of(node: Any) -> str:
    """Return the name of the layer that an operator was part of; empty if it does not say."""
    noted = next((entry.value for entry in node.metadata_props if entry.key == _SCOPES), None)
    if noted is not None:
        scopes = [scope for scope in ast.literal_eval(noted)[:-1] if scope]
        return scopes[-1] if scopes else ''
    # '/blocks/blocks.0/attn/qkv/MatMul': a list of modules names its entries after itself
    steps = node.name.strip('/').split('/')[:-1]
    return '.'.join(step for step, after in zip(steps, [*steps[1:], '']) if not after.startswith(f'{step}.'))
