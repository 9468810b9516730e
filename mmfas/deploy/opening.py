"""Opening what an inferencer takes: a bundle in memory, as a file or on a hub, or an ONNX file."""

from __future__ import annotations

import os
from pathlib import Path

from mmengine.device import get_device

from mmfas.deploy.bundle import Bundle
from mmfas.deploy.hub import open_bundle
from mmfas.deploy.torch_runtime import Runtime, TorchRuntime
from mmfas.utils.errors import InputError

__all__ = ['open_runtime']


def open_runtime(source: Bundle | str | os.PathLike[str], device: str | None = None) -> tuple[Bundle, Runtime]:
    """Open a bundle and what computes its scores.

    Args:
        source: A bundle, the path of one, `hf://ORG/NAME`, or the path of an ONNX file of `mmfas export`.
        device: Such as `'cpu'` or `'cuda:0'`; the first accelerator, or the CPU, if None, and for an ONNX file
            the CPU.

    Returns:
        The bundle (of an ONNX file, without weights) and the runtime.

    Raises:
        FileNotFoundError: If there is no such file.
        BundleError: If it is refused.
        ValueError: If there is no such device.
    """
    if isinstance(source, str | os.PathLike) and Path(source).suffix == '.onnx':
        from mmfas.deploy.bundle_export import open_onnx

        return open_onnx(source, device or 'cpu')
    bundle = source if isinstance(source, Bundle) else open_bundle(source)
    place = device or get_device()
    try:
        model = bundle.build_model(place)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device '{place}' cannot be used: {str(error).partition(chr(10))[0]}") from error
    return bundle, TorchRuntime(model)
