"""The runtime scores batches of any size and set of modalities, and refuses what it cannot score."""

from __future__ import annotations

import builtins
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmfas.structures import MODALITIES
from mmfas.utils.errors import InputError, MissingFileError, MissingPackageError

for _package in ('onnx', 'onnxruntime'):
    pytest.importorskip(_package, reason="the extra deploy is missing: pip install 'mmfas[deploy]'")

from tiny_graph import SIZE, WEIGHT, tiny_file, tiny_graph  # noqa: E402

from mmfas.deploy.onnx_runtime import OnnxRuntime  # noqa: E402


@pytest.fixture
def runtime(tmp_path: Path) -> OnnxRuntime:
    path = tmp_path / 'model.onnx'
    path.write_bytes(tiny_file(threshold=0.5))
    return OnnxRuntime(path, threads=1)


def pictures(batch: int, seed: int = 0) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    return {m: generator.integers(0, 256, (batch, 3, *SIZE), dtype=np.uint8) for m in MODALITIES}


def by_hand(images: dict[str, np.ndarray], present: np.ndarray) -> np.ndarray:
    """Compute the scores (B,) in float64."""
    means = np.stack([images[m].mean(axis=(1, 2, 3)) for m in MODALITIES], axis=1)
    logits = (means * present) @ WEIGHT.astype(np.float64)
    return 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))


@pytest.mark.parametrize('batch', [1, 2, 7])
def test_scores_are_those_of_the_graph_in_double_precision(runtime: OnnxRuntime, batch: int) -> None:
    images = pictures(batch)
    present = np.array([[True, i % 2 == 0, i % 3 == 0] for i in range(batch)])
    score = runtime.score(images, present)
    assert score.dtype == np.float64 and score.shape == (batch,)
    np.testing.assert_allclose(score, by_hand(images, present), atol=1e-6)


def test_tensors_are_taken_like_arrays(runtime: OnnxRuntime) -> None:
    images, present = pictures(3), np.ones((3, 3), bool)
    tensors = {m: torch.from_numpy(value) for m, value in images.items()}
    assert np.array_equal(runtime.score(tensors, torch.from_numpy(present)), runtime.score(images, present))


def test_modality_that_is_left_out_is_absent(runtime: OnnxRuntime) -> None:
    images = pictures(2)
    present = np.array([[True, False, True]] * 2)
    partly = {m: images[m] for m in ('rgb', 'ir')}
    assert np.array_equal(runtime.score(partly), runtime.score(images, present))
    assert np.array_equal(runtime.score(partly, present), runtime.score(images, present))


def test_large_logits_do_not_tie() -> None:
    graph = tiny_graph()
    graph.graph.initializer[-1].raw_data = (8 * WEIGHT).tobytes()
    images = pictures(2)
    images['rgb'][:], images['depth'][:] = 250, np.array([[[[1]]], [[[2]]]])
    runtime = OnnxRuntime(tiny_file(graph), threads=1)
    partly = {m: images[m] for m in ('rgb', 'depth')}
    assert np.array_equal(runtime.run(partly)[0], [1.0, 1.0])
    first, second = runtime.score(partly)
    assert first < second < 1


@pytest.mark.parametrize(
    'change',
    [
        lambda x: {},
        lambda x: {**x, 'thermal': x['rgb']},
        lambda x: {**x, 'ir': x['ir'].astype(np.float32)},
        lambda x: {**x, 'ir': x['ir'][:1]},
        lambda x: {**x, 'ir': x['ir'][:, :, :4]},
        lambda x: {**x, 'ir': x['ir'].transpose(0, 2, 3, 1)},
        lambda x: {m: v[:0] for m, v in x.items()},
    ],
)
def test_pictures_of_another_kind_are_refused(runtime: OnnxRuntime, change: Any) -> None:
    with pytest.raises(InputError, match=r'pictures must be uint8 arrays \(B, 3, 8, 6\) for each of'):
        runtime.score(change(pictures(2)))


@pytest.mark.parametrize(
    'present', [np.ones((2, 3)), np.ones((3, 3), bool), np.ones((2, 2), bool)], ids=['float', 'rows', 'columns']
)
def test_mask_of_another_kind_is_refused(runtime: OnnxRuntime, present: np.ndarray) -> None:
    with pytest.raises(InputError, match=r'`present` must be a boolean mask \(2, 3\)'):
        runtime.score(pictures(2), present)


def test_mask_cannot_promise_a_picture_that_is_not_there(runtime: OnnxRuntime) -> None:
    images = pictures(2)
    del images['depth']
    with pytest.raises(InputError, match='true only where there are pictures'):
        runtime.score(images, np.ones((2, 3), bool))


def test_sample_without_any_modality_is_refused(runtime: OnnxRuntime) -> None:
    present = np.array([[True] * 3, [False] * 3, [True] * 3, [False] * 3])
    with pytest.raises(InputError, match=r'samples without any of the modalities .* cannot be scored: \[1, 3\]'):
        runtime.score(pictures(4), present)


def test_missing_file_and_unknown_devices_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="there is no file '.*none.onnx'"):
        OnnxRuntime(tmp_path / 'none.onnx')
    with pytest.raises(
        InputError, match="device must be 'cpu', 'cuda' or 'cuda:N' for an ONNX file, but got 'mps'"
    ):
        OnnxRuntime(tiny_file(), 'mps')
    with pytest.raises(InputError, match='threads must be at least 1, but got 0'):
        OnnxRuntime(tiny_file(), threads=0)


def test_accelerator_needs_the_build_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    monkeypatch.setattr(onnxruntime, 'get_available_providers', lambda: ['CPUExecutionProvider'])
    with pytest.raises(InputError, match="device 'cuda:0' needs the build of onnxruntime for CUDA"):
        OnnxRuntime(tiny_file(), 'cuda:0')


def test_graph_that_onnxruntime_cannot_run_is_named() -> None:
    graph = tiny_graph()
    graph.graph.node[0].op_type = 'NoSuchOperator'
    with pytest.raises(InputError, match=r"onnxruntime \d.* cannot run 'export': .*NoSuchOperator"):
        OnnxRuntime(tiny_file(graph))


@pytest.mark.parametrize('package', ['onnx', 'onnxruntime'])
def test_missing_packages_name_the_extra(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    content = tiny_file()
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == package:
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.delitem(sys.modules, package)
    monkeypatch.setattr(builtins, '__import__', without)
    with pytest.raises(MissingPackageError, match=r"pip install 'mmfas\[deploy\]'"):
        OnnxRuntime(content)
