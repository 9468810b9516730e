"""Bundles as files for other runtimes: what ONNX cannot hold stands in the metadata of the file.

The metadata of an ONNX file has `bundle`, the record of the bundle without the config of the model, and `golden`,
the pictures of its golden sample as base64. So `FASInferencer` takes the file alone, and so can any other program.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmfas.deploy.bundle import Bundle, BundleError
from mmfas.deploy.bundle_file import bundle_of
from mmfas.deploy.export import OPSET, export_onnx, export_pt2
from mmfas.deploy.onnx_runtime import OnnxRuntime
from mmfas.deploy.parity import Parity
from mmfas.structures import MODALITIES
from mmfas.utils.errors import InputError

__all__ = ['FORMATS', 'OnnxScorer', 'export_bundle', 'metadata_of', 'open_onnx', 'picture_size']

#: Format -> ending of its files.
FORMATS = {'onnx': '.onnx', 'pt2': '.pt2'}


def export_bundle(
    bundle: Bundle, path: str | os.PathLike[str], form: str = 'onnx', *, opset: int = OPSET
) -> Parity:
    """Write a bundle as a file for another runtime, if its scores are those of the bundle.

    Args:
        bundle: The bundle.
        path: File to write; its ending is that of the format.
        form: `'onnx'` or `'pt2'` (`torch.export`).
        opset: Version of ONNX's operators.

    Returns:
        The differences from the model that were found, by set of modalities and batch size.

    Raises:
        ValueError: If the format is unknown or the name ends otherwise.
        RuntimeError: If the model cannot be exported, or scores otherwise then; nothing is written.
        ModuleNotFoundError: If the extra `deploy` is not installed.
    """
    if FORMATS.get(form) != Path(path).suffix:
        endings = ', '.join(f'{name} (FILE{ending})' for name, ending in FORMATS.items())
        raise InputError(f"formats are {endings}; got format '{form}' and '{path}'")
    size, metadata, model = picture_size(bundle), metadata_of(bundle), bundle.build_model()
    if form == 'pt2':
        return export_pt2(model, path, size=size, metadata=metadata)
    return export_onnx(model, path, size=size, metadata=metadata, opset=opset)


def picture_size(bundle: Bundle) -> tuple[int, int]:
    """Return rows and columns of the pictures that the model gets, as the pipeline makes them.

    Args:
        bundle: With its golden sample.
    """
    assert bundle.golden is not None
    pictures = {m: picture.numpy() for m, picture in bundle.golden.pictures.items()}
    packed = bundle.preprocessing()(pictures, 'golden sample')
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
    pictures = {m: _encode(picture.numpy()) for m, picture in bundle.golden.pictures.items()}
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
    return bundle_of(record, {}, pictures, source=str(path)), OnnxScorer(runtime)


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
