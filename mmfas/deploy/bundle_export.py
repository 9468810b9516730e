"""Bundles as files for other runtimes: what ONNX cannot hold stands in the metadata of the file.

The metadata of an ONNX file has `bundle`, the record of the bundle without the config of the model, and `golden`,
the pictures of its golden sample as base64. So `FASInferencer` takes the file alone, and so can any other program.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmfas.deploy.bundle import Bundle, BundleError
from mmfas.deploy.bundle_file import bundle_of
from mmfas.deploy.export import OPSET, export_pt2, onnx_content
from mmfas.deploy.golden_sample import check_golden_sample, golden_scores
from mmfas.deploy.inputs import read_inputs
from mmfas.deploy.onnx_file import onnx_package, pack
from mmfas.deploy.onnx_runtime import OnnxRuntime
from mmfas.deploy.parity import Parity
from mmfas.deploy.torch_runtime import TorchRuntime
from mmfas.structures import MODALITIES
from mmfas.utils.errors import InputError
from mmfas.utils.files import write_atomically

__all__ = ['FORMATS', 'OnnxScorer', 'export_bundle', 'metadata_of', 'open_onnx', 'picture_size']

#: Format -> ending of its files.
FORMATS = {'onnx': '.onnx', 'pt2': '.pt2'}


def export_bundle(
    bundle: Bundle,
    path: str | os.PathLike[str],
    form: str = 'onnx',
    *,
    opset: int = OPSET,
    precision: str = 'fp32',
    calibration: Any = None,
    self_test: bool = True,
) -> Parity:
    """Write a bundle as a file for another runtime, if its scores are those of the bundle.

    Args:
        bundle: The bundle.
        path: File to write; its ending is that of the format.
        form: `'onnx'` or `'pt2'` (`torch.export`).
        opset: Version of ONNX's operators.
        precision: `'fp32'`; or, of ONNX, `'fp16'` or `'int8'`, whose differences are for the caller to judge. The
            golden scores of such a file are its own.
        calibration: For `'int8'`: pictures of training data, as `read_inputs` takes them.
        self_test: Check first that this machine gives the golden sample of the bundle the scores it must have.

    Returns:
        The differences from the model that were found, by set of modalities and batch size.

    Raises:
        ValueError: If the format is unknown, the name ends otherwise, or precision and calibration do not fit.
        BundleError: If this machine fails the self-test.
        RuntimeError: If the model cannot be exported, or scores otherwise then; nothing is written.
        ModuleNotFoundError: If the extra `deploy` is not installed.
    """
    if FORMATS.get(form) != Path(path).suffix:
        endings = ', '.join(f'{name} (FILE{ending})' for name, ending in FORMATS.items())
        raise InputError(f"formats are {endings}; got format '{form}' and '{path}'")
    if form == 'pt2' and (precision != 'fp32' or calibration is not None):
        raise InputError('programs of torch.export are written in fp32; fp16 and int8 are for --format onnx')
    model = bundle.build_model()
    if self_test:
        check_golden_sample(bundle, TorchRuntime(model))
    size, metadata = picture_size(bundle), metadata_of(bundle)
    if form == 'pt2':
        return export_pt2(model, path, size=size, metadata=metadata)
    pictures = None if calibration is None else _calibration_pictures(bundle, calibration)
    content, parity = onnx_content(
        model, size=size, metadata=metadata, opset=opset, precision=precision, calibration=pictures
    )
    write_atomically(path, content if precision == 'fp32' else _with_own_scores(content, bundle))
    return parity


def _calibration_pictures(bundle: Bundle, inputs: Any) -> dict[str, np.ndarray]:
    """Prepare pictures as the model gets them: modality -> (N, 3, H, W), uint8; all modalities must be there."""
    preprocess, samples = bundle.preprocessing(), read_inputs(inputs)
    for sample in samples:
        absent = [m for m in bundle.modalities if m not in sample.pictures and 'npz' not in sample.pictures]
        if absent:
            raise InputError(f'{sample.sample_id}: calibration needs all modalities, but {absent[0]} is missing')
    packed = [preprocess(sample.pictures, sample.sample_id)['inputs'] for sample in samples]
    return {m: torch.stack([inputs[m] for inputs in packed]).numpy() for m in bundle.modalities}


def _with_own_scores(content: bytes, bundle: Bundle) -> bytes:
    """Replace the golden scores in a file by those that it computes itself: they differ in less than 32 bits."""
    runtime = OnnxRuntime(content)
    metadata = dict(runtime.header.metadata)
    golden = {**metadata['bundle']['golden'], 'scores': golden_scores(bundle, OnnxScorer(runtime))}
    metadata['bundle'] = {**metadata['bundle'], 'golden': golden}
    return pack(onnx_package().load_model_from_string(content), replace(runtime.header, metadata=metadata))


def picture_size(bundle: Bundle) -> tuple[int, int]:
    """Return rows and columns of the pictures that the model gets, as the pipeline makes them.

    Args:
        bundle: With its golden sample.
    """
    assert bundle.golden is not None
    packed = bundle.preprocessing()(bundle.golden.arrays(), 'golden sample')
    rows, columns = packed['inputs'][bundle.modalities[0]].shape[-2:]
    return rows, columns


def metadata_of(bundle: Bundle) -> dict[str, Any]:
    """Return what a runtime needs beside the graph: preprocessing, threshold, polarity, origin, golden sample.

    Args:
        bundle: With its golden sample.

    Returns:
        Plain values: `bundle`, `bundle_sha256`, `golden`.
    """
    assert bundle.golden is not None
    pictures = {m: _encode(picture) for m, picture in bundle.golden.arrays().items()}
    return dict(bundle={**bundle.record(), 'model': {}}, bundle_sha256=bundle.sha256, golden=pictures)


def open_onnx(path: str | os.PathLike[str], device: str = 'cpu') -> tuple[Bundle, OnnxScorer]:
    """Open an ONNX file that `mmfas export` made.

    Args:
        path: The file.
        device: `'cpu'`, `'cuda'` or `'cuda:N'`.

    Returns:
        The bundle, without weights, and what computes its scores.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is refused, or there is no such device.
        ModuleNotFoundError: If onnxruntime is not installed.
    """
    runtime = OnnxRuntime(path, device)
    metadata = runtime.header.metadata
    try:
        pictures = {m: _decode(entry) for m, entry in metadata['golden'].items()}
        record = metadata['bundle']
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(
            f"'{path}' was exported without its bundle: {error}; export a bundle with `mmfas export`"
        ) from error
    bundle = bundle_of(record, {}, pictures, source=str(path))
    if bundle.modalities != runtime.modalities:
        raise BundleError(
            f"'{path}' is mislabelled: its graph takes {runtime.modalities}, but its bundle is of "
            f'{bundle.modalities}; export it again'
        )
    return bundle, OnnxScorer(runtime)


class OnnxScorer:
    """Scores prepared samples with an ONNX file; see `Runtime`.

    Args:
        runtime: The file, opened.
    """

    def __init__(self, runtime: OnnxRuntime) -> None:
        self.runtime = runtime
        self.device = runtime.device
        self.is_exact = runtime.device == 'cpu' and runtime.header.precision == 'fp32'

    def score(self, samples: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Score a batch; see `Runtime`."""
        columns = [MODALITIES.index(m) for m in self.runtime.modalities]
        present = torch.stack([sample['data_samples'].present for sample in samples])[:, columns]
        images = {m: torch.stack([sample['inputs'][m] for sample in samples]) for m in self.runtime.modalities}
        return self.runtime.score(images, present.numpy())


def _encode(picture: np.ndarray) -> dict[str, Any]:
    """Return an array as plain values."""
    data = base64.b64encode(np.ascontiguousarray(picture).tobytes()).decode()
    return dict(dtype=str(picture.dtype), shape=list(picture.shape), base64=data)


def _decode(entry: Mapping[str, Any]) -> Tensor:
    """Return the array of `_encode`."""
    if entry['dtype'] not in ('uint8', 'uint16'):
        raise InputError(f'pictures are uint8 or uint16, got {entry["dtype"]!r}')
    data = base64.b64decode(entry['base64'], validate=True)
    return torch.from_numpy(np.frombuffer(data, entry['dtype']).reshape(entry['shape']).copy())
