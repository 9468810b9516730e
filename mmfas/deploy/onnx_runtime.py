"""Scores of an ONNX file, computed by onnxruntime.

Legend: M modalities of the model (canonical order), B batch.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from mmfas.deploy.onnx_file import OUTPUTS, OnnxFileError, OnnxHeader, unpack
from mmfas.structures import LIVE
from mmfas.utils.errors import InputError, MissingFileError, MissingPackageError

__all__ = ['OnnxRuntime']

Array = np.ndarray | Tensor


class OnnxRuntime:
    """Scores pictures with an ONNX file of `mmfas export`.

    The file is checked before onnxruntime sees it, and is all that is read: one that names other files is
    refused. Its digest finds damage; it does not say who made the file.

    Args:
        source: Path of the file, or its bytes.
        device: `'cpu'`, `'cuda'` or `'cuda:N'`.
        threads: Threads of a single operator on the CPU; None for all cores.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is refused, or there is no such device.
        ModuleNotFoundError: If onnxruntime is not installed.
    """

    def __init__(
        self, source: str | os.PathLike[str] | bytes, device: str = 'cpu', *, threads: int | None = None
    ) -> None:
        if threads is not None and threads < 1:
            raise InputError(f'threads must be at least 1, but got {threads}')
        runtime = _onnxruntime()
        name = 'export' if isinstance(source, bytes) else os.fspath(source)
        content = source if isinstance(source, bytes) else _read(Path(source))
        self.header: OnnxHeader = unpack(content, name)
        self.device = device
        self._session = _open(runtime, content, name=name, device=device, threads=threads or 0)

    @property
    def modalities(self) -> tuple[str, ...]:
        """Modalities of the model."""
        return self.header.modalities

    def score(self, images: Mapping[str, Array], present: Array | None = None) -> np.ndarray:
        """Score a batch as `MultiModalFAS.predict` does: in float64 from the logits.

        Args:
            images: Modality -> pictures (B, 3, H, W), uint8, RGB, of the size of the file; a modality that no
                sample has may be left out.
            present: Boolean mask (B, M); None where every sample has all that is in `images`.

        Returns:
            Liveness (B,), float64, in [0, 1].

        Raises:
            ValueError: If shapes or types do not fit, or a sample has no modality at all.
        """
        logits = self.run(images, present)[1].astype(np.float64)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return powers[:, LIVE] / powers.sum(axis=1)

    def run(self, images: Mapping[str, Array], present: Array | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Run the graph on a batch.

        Args:
            images: As for `score`.
            present: As for `score`.

        Returns:
            Liveness (B,) and logits (B, 2) in the order spoof, live; float32.
        """
        score, logits = self._session.run(list(OUTPUTS), self._inputs(images, present))
        return score, logits

    def _inputs(self, images: Mapping[str, Array], present: Array | None) -> dict[str, np.ndarray]:
        """Check a batch and return the inputs of the graph."""
        unknown = sorted(set(images) - set(self.modalities))
        given = {m: np.asarray(images[m]) for m in self.modalities if m in images}
        batch = len(next(iter(given.values()))) if given else 0
        shape = (batch, 3, *self.header.size)
        if unknown or not batch or any(v.shape != shape or v.dtype != np.uint8 for v in given.values()):
            found = {name: f'{np.asarray(v).dtype} {np.asarray(v).shape}' for name, v in images.items()}
            raise InputError(
                f'pictures must be uint8 arrays (B, 3, {shape[2]}, {shape[3]}) for each of {self.modalities}, '
                f'but got {found}'
            )
        there = np.array([[m in given for m in self.modalities]] * batch)
        mask = there if present is None else np.asarray(present)
        if mask.shape != there.shape or mask.dtype != bool or bool((mask & ~there).any()):
            raise InputError(
                f'`present` must be a boolean mask {there.shape} over {self.modalities}, true only where there '
                f'are pictures, but got {mask.dtype} {mask.shape} with pictures of {tuple(given)}'
            )
        empty = np.flatnonzero(~mask.any(axis=1)).tolist()
        if empty:
            raise InputError(f'samples without any of the modalities {self.modalities} cannot be scored: {empty}')
        blank = np.zeros(shape, np.uint8)
        pictures = {m: np.ascontiguousarray(given.get(m, blank)) for m in self.modalities}
        return {**pictures, 'present': np.ascontiguousarray(mask)}


def _onnxruntime() -> Any:
    """Import onnxruntime, which is optional."""
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingPackageError("running ONNX files needs onnxruntime: pip install 'mmfas[deploy]'") from error
    return onnxruntime


def _read(path: Path) -> bytes:
    """Read a file."""
    if not path.is_file():
        raise MissingFileError(f"there is no file '{path}'")
    return path.read_bytes()


def _open(runtime: Any, content: bytes, *, name: str, device: str, threads: int) -> Any:
    """Make the session."""
    provider = _provider(runtime, device)
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3  # errors, which are raised as well
    try:
        session = runtime.InferenceSession(content, options, providers=[provider])
    except Exception as error:  # its errors have no common class of their own
        reason = str(error).partition('\n')[0]
        raise OnnxFileError(f"onnxruntime {runtime.__version__} cannot run '{name}': {reason}") from error
    if session.get_providers()[0] != provider[0]:
        raise InputError(f"device '{device}' cannot be used: onnxruntime could not start {provider[0]}")
    return session


def require_device(device: str) -> None:
    """Refuse a device that onnxruntime as it is installed cannot use, before anything is exported for it.

    Args:
        device: `'cpu'`, `'cuda'` or `'cuda:N'`.

    Raises:
        ModuleNotFoundError: If onnxruntime is not installed.
        ValueError: If it has no provider for the device.
    """
    _provider(_onnxruntime(), device)


def _provider(runtime: Any, device: str) -> tuple[str, dict[str, Any]]:
    """Return onnxruntime's name for a device, with options."""
    found = re.fullmatch(r'cuda(?::(\d+))?', device)
    if device != 'cpu' and not found:
        raise InputError(f"device must be 'cpu', 'cuda' or 'cuda:N' for an ONNX file, but got {device!r}")
    if not found:
        return 'CPUExecutionProvider', {}
    if 'CUDAExecutionProvider' not in runtime.get_available_providers():
        raise InputError(
            f"device '{device}' needs the build of onnxruntime for CUDA: pip uninstall onnxruntime, then "
            'pip install onnxruntime-gpu'
        )
    return 'CUDAExecutionProvider', {'device_id': int(found[1] or 0)}
