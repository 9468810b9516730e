"""Exported files score as the model does, run without mmfas, and are not written where they do not."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from contracts.cases import SIZE, build_model, make_batch, perturb, presence
from export_models import small_model
from torch import Tensor, nn

from mmfas.cli.export import main as export_main
from mmfas.deploy.export import OPSET, export_onnx, export_pt2
from mmfas.deploy.export_module import ExportModule
from mmfas.deploy.onnx_runtime import OnnxRuntime
from mmfas.deploy.parity import compare_scores, draw_pictures
from mmfas.models import MultiModalFAS
from mmfas.structures import FusedFeatures
from mmfas.utils.errors import RunError, WrongTypeError

METADATA = dict(threshold=0.25, note='für Tests', crop=None, steps=[dict(size=[SIZE, SIZE])])

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures('small_and_quiet')]


def needs_onnx() -> None:
    for package in ('onnx', 'onnxruntime', 'onnxscript'):
        pytest.importorskip(package, reason="the extra deploy is missing: pip install 'mmfas[deploy]'")


@pytest.fixture(scope='module')
def model() -> MultiModalFAS:
    return small_model().eval()


@pytest.fixture(scope='module')
def exported(model: MultiModalFAS, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    needs_onnx()
    path = tmp_path_factory.mktemp('onnx') / 'deep' / 'model.onnx'
    parity = export_onnx(model, path, size=(SIZE, SIZE), metadata=METADATA)
    return SimpleNamespace(path=path, parity=parity, model=model)


def pictures_and_mask(batch: int) -> tuple[dict[str, Tensor], Tensor]:
    data = make_batch(batch, present=presence(batch, 3))
    return data['inputs'], torch.stack([sample.present for sample in data['data_samples']])


def expected(model: MultiModalFAS, batch: int) -> Tensor:
    """Score the same batch as `mmfas test` does (B,)."""
    with torch.no_grad():
        scored = model.test_step(make_batch(batch, present=presence(batch, 3)))
    return torch.tensor([sample.pred_score for sample in scored], dtype=torch.float64)


def test_missing_packages_are_named_before_a_model_is_traced(
    model: MultiModalFAS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr('mmfas.deploy.onnx_file.find_spec', lambda name: None if name == 'onnxscript' else name)
    monkeypatch.setattr('mmfas.deploy.export.export_program', None)
    file = tmp_path / 'model.onnx'
    with pytest.raises(ModuleNotFoundError, match=r"ONNX files need onnxscript: pip install 'mmfas\[deploy\]'"):
        export_onnx(model, file, size=(SIZE, SIZE))
    assert export_main([str(tmp_path / 'nothing.pth'), '--out', str(file)]) == 1
    assert 'ONNX files need onnxscript' in capsys.readouterr().err and not file.exists()


def test_module_computes_what_preprocessor_and_predict_do(model: MultiModalFAS) -> None:
    images, present = pictures_and_mask(9)
    score, logits = ExportModule(model)(*images.values(), present)
    with torch.no_grad():
        scored = model.test_step(make_batch(9, present=present))
    assert torch.equal(logits, torch.stack([sample.pred_logits for sample in scored]))
    torch.testing.assert_close(score.double(), expected(model, 9), rtol=0, atol=1e-7)


def test_module_looks_at_no_picture_of_an_absent_modality(model: MultiModalFAS) -> None:
    images, present = pictures_and_mask(9)
    module = ExportModule(model)
    other = {
        m: torch.where(present[:, i, None, None, None], v, 255 - v) for i, (m, v) in enumerate(images.items())
    }
    assert not present.all()
    assert torch.equal(module(*images.values(), present)[1], module(*other.values(), present)[1])


def test_export_leaves_the_model_alone() -> None:
    model = small_model().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    module = ExportModule(model.half())
    assert model.training and not module.model.training
    assert next(model.parameters()).dtype == torch.half and next(module.parameters()).dtype == torch.float32
    assert before.keys() == model.state_dict().keys() and all(p.requires_grad for p in model.parameters())


def test_other_models_are_refused() -> None:
    with pytest.raises(
        WrongTypeError, match='only a MultiModalFAS with a FASDataPreprocessor can be exported, not Lin'
    ):
        ExportModule(nn.Linear(2, 2))


@pytest.mark.parametrize('batch', [1, 3, 8])
def test_runtime_scores_as_predict_does_for_every_batch_size(exported: SimpleNamespace, batch: int) -> None:
    runtime = OnnxRuntime(exported.path, threads=1)
    images, present = pictures_and_mask(batch)
    score = runtime.score(images, present)
    assert score.dtype == np.float64
    np.testing.assert_allclose(score, expected(exported.model, batch), rtol=0, atol=1e-6)


def test_plain_onnxruntime_gives_the_score_from_the_metadata_of_the_file(exported: SimpleNamespace) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(exported.path), providers=['CPUExecutionProvider'])
    notes = {key: json.loads(value) for key, value in session.get_modelmeta().custom_metadata_map.items()}
    images, present = pictures_and_mask(4)
    inputs = {m: images[m].numpy() for m in notes['modalities']}
    (score,) = session.run(['score'], {**inputs, 'present': present.numpy()})
    np.testing.assert_allclose(score, expected(exported.model, 4), rtol=0, atol=1e-5)
    assert notes['size'] == [SIZE, SIZE] and notes['precision'] == 'fp32'
    assert {key: notes[key] for key in METADATA} == METADATA


def test_parity_covers_every_set_of_modalities(exported: SimpleNamespace) -> None:
    parity = exported.parity
    sets = {row.modalities for row in parity.rows}
    assert len(sets) == len(parity.rows) == 7
    assert all(list(row.scores) == [1, 2, 5] for row in parity.rows)
    assert 0 < parity.max_score <= 1e-5 and parity.max_logits <= 1e-4
    assert 'rgb+depth+ir' in parity.to_text() and 'score, batch 5' in parity.to_text()


def test_file_states_its_opset_and_names_nothing_of_this_machine(exported: SimpleNamespace) -> None:
    import onnx

    graph = onnx.load(exported.path)
    assert [(entry.domain, entry.version) for entry in graph.opset_import] == [('', OPSET)]
    onnx.checker.check_model(graph, full_check=True)
    content = exported.path.read_bytes()
    assert b'.py' not in content and str(Path(__file__).parents[2]).encode() not in content
    axes = {value.name: value.type.tensor_type.shape.dim[0].dim_param for value in graph.graph.input}
    assert axes == dict.fromkeys(('rgb', 'depth', 'ir', 'present'), 'batch')


@pytest.mark.slow
def test_program_of_torch_export_scores_as_the_model_does(model: MultiModalFAS, tmp_path: Path) -> None:
    path = tmp_path / 'model.pt2'
    parity = export_pt2(model, path, size=(SIZE, SIZE), metadata=METADATA)
    assert parity.max_score <= 1e-7
    notes = {'mmfas.json': ''}
    program = torch.export.load(path, extra_files=notes).module()
    images, present = pictures_and_mask(6)
    score, _ = program(*images.values(), present)
    torch.testing.assert_close(score.double(), expected(model, 6), rtol=0, atol=1e-7)
    assert json.loads(notes['mmfas.json'])['metadata'] == METADATA
    assert str(Path(__file__).parents[2]).encode() not in path.read_bytes()


class Lottery(nn.Module):
    """A head that draws its logits (B, 2)."""

    def forward(self, features: FusedFeatures) -> Tensor:
        return torch.rand_like(features.fused[:, :2])


class Turncoat(nn.Module):
    """A head whose logits (B, 2) are a little different in the exported graph."""

    def forward(self, features: FusedFeatures) -> Tensor:
        return features.fused[:, :2] * torch.tensor([1.001 if torch.compiler.is_exporting() else 1.0, 1.0])


class Looker(nn.Module):
    """A head that looks at values."""

    def forward(self, features: FusedFeatures) -> Tensor:
        return features.fused[:, :2] * (2.0 if features.fused.sum() > 0 else 1.0)


def test_export_that_scores_otherwise_is_refused_and_not_written(tmp_path: Path) -> None:
    model = small_model()
    model.head = Turncoat()
    with pytest.raises(RunError, match='differs from the model by .* in a score and .* so it was not written'):
        export_pt2(model, tmp_path / 'model.pt2', size=(SIZE, SIZE))
    assert not list(tmp_path.iterdir())


def test_model_that_draws_at_random_is_refused_and_not_written(tmp_path: Path) -> None:
    model = small_model()
    model.head = Lottery()
    with pytest.raises(
        RunError,
        match=r'the model draws at random at test \(aten.rand_like.default\), so its scores cannot be repeated',
    ):
        export_pt2(model, tmp_path / 'model.pt2', size=(SIZE, SIZE))
    assert not list(tmp_path.iterdir())


def test_model_that_looks_at_values_is_refused_in_one_sentence(tmp_path: Path) -> None:
    model = small_model()
    model.head = Looker()
    with pytest.raises(
        RunError, match='ExportModule cannot be exported for batches of any size: .*; no part may look'
    ):
        export_pt2(model, tmp_path / 'model.pt2', size=(SIZE, SIZE))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('modalities', [('rgb', 'ir'), ('depth',)])
def test_models_of_fewer_modalities_take_those_only(modalities: tuple[str, ...]) -> None:
    module = ExportModule(perturb(build_model(modalities)))
    pictures = draw_pictures(modalities, 2, size=(SIZE, SIZE))
    tensors = [torch.from_numpy(pictures[m]) for m in modalities]
    score, logits = module(*tensors, torch.ones(2, len(modalities), dtype=torch.bool))
    assert module.input_names == (*modalities, 'present')
    assert score.shape == (2,) and logits.shape == (2, 2)


def test_nan_is_never_within_bounds() -> None:
    model = small_model().eval()

    def run(images: dict[str, np.ndarray], present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.full(len(present), np.nan, np.float32), np.zeros((len(present), 2), np.float32)

    parity = compare_scores(run, model, draw_pictures(model.modalities, 2, size=(SIZE, SIZE)))
    assert parity.max_score == np.inf
    with pytest.raises(RunError, match='differs from the model by inf in a score'):
        parity.require()
