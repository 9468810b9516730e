"""A trained model as a file that runs without mmfas: ONNX, or a program of `torch.export`.

Both take pictures as uint8 and give the score (see `ExportModule`), serve every batch size, and are compared with
the model before they are written.
"""

from __future__ import annotations

import io
import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from mmfas.deploy.export_module import ExportModule
from mmfas.deploy.onnx_file import OUTPUTS, PRECISIONS, OnnxHeader, onnx_package, pack, require_export_packages
from mmfas.deploy.onnx_runtime import OnnxRuntime
from mmfas.deploy.parity import Parity, Run, compare_scores, draw_pictures
from mmfas.deploy.quantise import to_fp16, to_int8
from mmfas.models.fas import MultiModalFAS
from mmfas.utils.errors import InputError, RunError
from mmfas.utils.files import write_atomically

__all__ = ['OPSET', 'export_onnx', 'export_program', 'export_pt2', 'onnx_content', 'run_program', 'to_onnx']

#: Version of ONNX's operators: the first one with GELU as an operator of its own.
OPSET = 20
#: Batch size of the example that the graph is traced with; 1 would be taken for a constant.
_EXAMPLE_BATCH = 2
#: Operators that draw in training only.
_WITH_DROPOUT = ('aten.dropout', 'aten.scaled_dot_product_attention')
#: Name of the batch axis in the ONNX file.
_BATCH_AXIS = 'batch'


def export_onnx(
    model: MultiModalFAS,
    path: str | os.PathLike[str],
    *,
    size: tuple[int, int],
    metadata: Mapping[str, Any] | None = None,
    opset: int = OPSET,
    precision: str = 'fp32',
    calibration: Mapping[str, np.ndarray] | None = None,
    pictures: Mapping[str, np.ndarray] | None = None,
) -> Parity:
    """Write a model as an ONNX file, in float32 if its scores are those of the model.

    Args:
        model: The model; it is not changed.
        path: Where to write.
        size: See `onnx_content`, as for all that follow.
        metadata: Plain values to put into the file.
        opset: Version of ONNX's operators.
        precision: `'fp32'`, `'fp16'` or `'int8'`.
        calibration: Pictures of training data, for `'int8'`.
        pictures: Pictures to compare scores with.

    Returns:
        The differences from the model that were found.

    Raises:
        RuntimeError: If the model cannot be exported, or scores otherwise then; nothing is written.
        ValueError: If metadata, size or precision do not fit.
        ModuleNotFoundError: If the extra `deploy` is not installed.
    """
    content, parity = onnx_content(
        model,
        size=size,
        metadata=metadata,
        opset=opset,
        precision=precision,
        calibration=calibration,
        pictures=pictures,
    )
    write_atomically(path, content)
    return parity


def onnx_content(
    model: MultiModalFAS,
    *,
    size: tuple[int, int],
    metadata: Mapping[str, Any] | None = None,
    opset: int = OPSET,
    precision: str = 'fp32',
    calibration: Mapping[str, np.ndarray] | None = None,
    pictures: Mapping[str, np.ndarray] | None = None,
) -> tuple[bytes, Parity]:
    """Return a model as the content of an ONNX file, in float32 if its scores are those of the model.

    Args:
        model: The model; it is not changed.
        size: Rows and columns of the pictures in pixels.
        metadata: Plain values to put into the file, each as JSON, such as threshold and preprocessing.
        opset: Version of ONNX's operators.
        precision: `'fp32'`; or `'fp16'` or `'int8'`, whose differences are for the caller to judge.
        calibration: Modality -> pictures (N, 3, H, W), uint8, of training data; for `'int8'` only, see `to_int8`.
        pictures: Modality -> pictures (N, 3, H, W), uint8, to compare scores with; noise if None.

    Returns:
        The content, and the differences from the model that were found.

    Raises:
        RuntimeError: If the model cannot be exported, or scores otherwise then.
        ValueError: If metadata, size or precision do not fit.
        ModuleNotFoundError: If the extra `deploy` is not installed.
    """
    if precision not in PRECISIONS or (precision == 'int8') != (calibration is not None):
        raise InputError(
            f"precision must be one of {PRECISIONS}, and 'int8' alone takes pictures for the calibration, but got "
            f'{precision!r} with{"out" if calibration is None else ""} them'
        )
    require_export_packages()
    module = ExportModule(model)
    graph = to_onnx(export_program(module, size), module.input_names, opset=opset)
    if precision == 'fp16':
        graph = to_fp16(graph)
    elif calibration is not None:
        graph = to_int8(graph, calibration)
    content = pack(graph, OnnxHeader(module.modalities, size, precision, metadata or {}))
    runtime = OnnxRuntime(content, threads=torch.get_num_threads())
    parity = compare_scores(runtime.run, module.model, pictures or draw_pictures(module.modalities, 7, size=size))
    if precision == 'fp32':
        parity.require()
    return content, parity


def export_pt2(
    model: MultiModalFAS,
    path: str | os.PathLike[str],
    *,
    size: tuple[int, int],
    metadata: Mapping[str, Any] | None = None,
    pictures: Mapping[str, np.ndarray] | None = None,
) -> Parity:
    """Write a model as a program of `torch.export`, for `torch.export.load`; no TorchScript.

    The format belongs to torch: other versions of it may refuse the file. Loading one executes what is in it, so
    load only your own.

    Args:
        model: The model; it is not changed.
        path: Where to write.
        size: Rows and columns of the pictures in pixels.
        metadata: Plain values to put into the file, as JSON under `mmfas.json`.
        pictures: Modality -> pictures (N, 3, H, W), uint8, to compare scores with; noise if None.

    Returns:
        The differences from the model that were found.

    Raises:
        RuntimeError: If the model cannot be exported, or scores otherwise then; nothing is written.
        ValueError: If metadata or size do not fit.
    """
    module = ExportModule(model)
    program = export_program(module, size)
    notes = {'inputs': module.input_names, 'outputs': OUTPUTS, 'size': size, 'metadata': dict(metadata or {})}
    stream = io.BytesIO()
    torch.export.save(program, stream, extra_files={'mmfas.json': json.dumps(notes, allow_nan=False)})
    stream.seek(0)
    run = run_program(torch.export.load(stream), module.modalities)
    parity = compare_scores(run, module.model, pictures or draw_pictures(module.modalities, 7, size=size))
    parity.require()
    write_atomically(path, stream.getvalue())
    return parity


def export_program(module: ExportModule, size: tuple[int, int]) -> ExportedProgram:
    """Trace the graph of a model for any batch size.

    Args:
        module: The model with its pre- and postprocessing.
        size: Rows and columns of the pictures in pixels.

    Raises:
        RuntimeError: If the model cannot be traced, such as where it looks at values, or draws at random at test.
        ValueError: If the model does not take pictures of this size.
    """
    example = _example(module, size)
    batch = Dim(_BATCH_AXIS, min=1)
    with _named_failures(module), _without_stack_traces():
        shapes = {'inputs': tuple({0: batch} for _ in example)}
        program = torch.export.export(module, example, dynamic_shapes=shapes, strict=False)
    _refuse_random(program)
    for node in program.graph.nodes:
        node.meta.pop('stack_trace', None)  # paths of this machine, which older versions of torch note
    return program


def run_program(program: ExportedProgram, modalities: Sequence[str]) -> Run:
    """Return a function that runs a traced graph on arrays.

    Args:
        program: What `export_program` returns.
        modalities: Modalities of the model.
    """
    traced = program.module()

    def run(images: Mapping[str, np.ndarray], present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        tensors = [torch.from_numpy(value) for value in (*(images[m] for m in modalities), present)]
        with torch.no_grad():
            score, logits = traced(*tensors)
        return score.numpy(), logits.numpy()

    return run


def to_onnx(program: ExportedProgram, input_names: tuple[str, ...], *, opset: int = OPSET) -> Any:
    """Translate a traced graph.

    Args:
        program: What `export_program` returns.
        input_names: Names of its inputs.
        opset: Version of ONNX's operators.

    Returns:
        An `onnx.ModelProto` with a dynamic batch axis.

    Raises:
        RuntimeError: If there is no translation for a part of it.
        ValueError: If it cannot be written in this version.
        ModuleNotFoundError: If the extra `deploy` is not installed.
    """
    onnx_package()
    with warnings.catch_warnings(), _named_failures(program), _without_stack_traces():
        warnings.simplefilter('ignore')  # of the exporter on its own deprecations
        exported = torch.onnx.export(
            program,
            (),
            dynamo=True,
            opset_version=opset,
            input_names=list(input_names),
            output_names=list(OUTPUTS),
            verbose=False,
        )
    assert exported is not None  # it is so only where a file is written
    model = exported.model_proto
    written = {entry.domain: entry.version for entry in model.opset_import}.get('')
    if written != opset:  # the exporter goes on with its own version where it cannot convert
        raise InputError(
            f'the model needs operators of version {written}, it cannot be written in {opset}: leave --opset out'
        )
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = _BATCH_AXIS
    del model.graph.value_info[:]  # the batch has another name in these
    return model


def _example(module: ExportModule, size: tuple[int, int]) -> tuple[Tensor, ...]:
    """Return inputs of the model, after running it on them."""
    pictures = draw_pictures(module.modalities, _EXAMPLE_BATCH, size=size)
    present = torch.ones(_EXAMPLE_BATCH, len(module.modalities), dtype=torch.bool)
    example = (*(torch.from_numpy(pictures[m]) for m in module.modalities), present)
    try:
        with torch.no_grad():
            module(*example)
    except RuntimeError as error:
        reason = str(error).partition('\n')[0]
        raise InputError(f'the model does not take pictures of {size[0]} x {size[1]} pixels: {reason}') from error
    return example


def _refuse_random(program: ExportedProgram) -> None:
    """Refuse a model whose scores cannot be repeated, and so not be compared."""
    tags = {str(node.target): getattr(node.target, 'tags', ()) for node in program.graph.nodes}
    drawing = [name for name, found in tags.items() if torch.Tag.nondeterministic_seeded in found]
    drawing = [name for name in drawing if not name.startswith(_WITH_DROPOUT)]
    if drawing:
        raise RunError(
            f'the model draws at random at test ({", ".join(sorted(drawing))}), so its scores cannot be repeated '
            'and the exported ones not be compared; switch off what draws, such as uncertainty.mode="sampled" of '
            'UAdapterNeck or sampled_second=True of a mixture'
        )


@contextmanager
def _without_stack_traces() -> Iterator[None]:
    """Trace and translate without the lines of code behind every operator: looking them up takes long."""
    config, name = getattr(torch.fx, 'config', None), 'do_not_emit_stack_traces'
    before = getattr(config, name, None)
    if before is None:  # this version of torch always notes them
        yield
        return
    setattr(config, name, True)
    try:
        yield
    finally:
        setattr(config, name, before)


@contextmanager
def _named_failures(subject: object) -> Iterator[None]:
    """Say in one sentence that something cannot be exported; torch's reasons go on for pages."""
    try:
        with torch.no_grad():
            yield
    except ImportError:
        raise
    except Exception as error:  # the errors of both exporters have no common class of their own
        reason = str(error).strip().partition('\n')[0]
        raise RunError(
            f'{type(subject).__name__} cannot be exported for batches of any size: {type(error).__name__}: '
            f'{reason}; no part may look at values or take the batch size as a constant (x.shape[0], not len(x))'
        ) from error
