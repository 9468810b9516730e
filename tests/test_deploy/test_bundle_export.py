"""Bundles as ONNX files: the same verdicts from onnxruntime, with mmfas and without."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mmfas.cli.export import main as export_main
from mmfas.deploy.bundle import Bundle, BundleError
from mmfas.deploy.bundle_export import export_bundle, open_onnx, picture_size
from mmfas.deploy.bundle_file import write_bundle
from mmfas.deploy.golden_sample import golden_scores, rendered_triple
from mmfas.deploy.inferencer import FASInferencer
from mmfas.deploy.onnx_file import pack, unpack
from mmfas.deploy.parity import compare_scores, draw_pictures
from mmfas.deploy.torch_runtime import TorchRuntime

onnx = pytest.importorskip('onnx', reason='needs the extra deploy')
onnxruntime = pytest.importorskip('onnxruntime', reason='needs the extra deploy')
pytest.importorskip('onnxscript', reason='needs the extra deploy')
pytestmark = [pytest.mark.engine, pytest.mark.usefixtures('exports_once')]


@pytest.fixture(scope='module')
def exported(bundle: Bundle, exports_once: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ONNX file of the tiny bundle."""
    path = tmp_path_factory.mktemp('onnx') / 'model.onnx'
    parity = export_bundle(bundle, path)
    assert len(parity.rows) == 7 and parity.max_score <= 1e-6
    return path


def test_the_inferencer_judges_with_an_onnx_file_alike(bundle: Bundle, exported: Path) -> None:
    live, printed = rendered_triple(), rendered_triple('print')
    inputs = [live, printed, {'rgb': live['rgb']}, {'rgb': live['rgb'], 'ir': printed['ir']}, {'ir': live['ir']}]
    by_onnx, by_torch = FASInferencer(exported), FASInferencer(bundle, 'cpu')
    for batch_size in (1, 3):
        found = by_onnx(inputs, batch_size=batch_size)['predictions']
        wanted = by_torch(inputs, batch_size=batch_size)['predictions']
        for one, other in zip(found, wanted, strict=True):
            assert one['score'] == pytest.approx(other['score'], abs=1e-6)
            assert all(one[key] == other[key] for key in ('decision', 'code', 'modalities', 'threshold'))
    opened, _ = open_onnx(exported)
    assert opened.decision == bundle.decision and opened.pipeline == json.loads(json.dumps(bundle.pipeline))


def test_another_runtime_gets_the_score_from_the_file_alone(bundle: Bundle, exported: Path) -> None:
    """As on `docs/en/deploy.md`: onnxruntime and numpy, nothing of mmfas."""
    session = onnxruntime.InferenceSession(str(exported), providers=['CPUExecutionProvider'])
    said = {key: json.loads(value) for key, value in session.get_modelmeta().custom_metadata_map.items()}
    rows, columns = said['size']
    inputs = {}
    for modality in said['modalities']:
        entry = said['golden'][modality]
        picture = np.frombuffer(base64.b64decode(entry['base64']), entry['dtype']).reshape(entry['shape'])
        picture = picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2)
        # ResizeModalities from 64 to 32 pixels is the mean of 2 x 2, halves rounded up
        small = ((picture.reshape(rows, 2, columns, 2, 3).sum((1, 3), dtype=np.uint16) + 2) // 4).astype(np.uint8)
        inputs[modality] = small.transpose(2, 0, 1)[None]
    present = np.ones((1, len(inputs)), bool)
    score = float(session.run(['score'], {**inputs, 'present': present})[0][0])
    names = [list(subset) for subset in said['bundle']['golden']['present']]
    wanted = said['bundle']['golden']['scores'][names.index(said['modalities'])]
    assert bundle.golden is not None and wanted in bundle.golden.scores
    assert score == pytest.approx(wanted, abs=1e-5)
    assert said['bundle']['decision']['threshold'] == bundle.decision.threshold
    assert said['bundle_sha256'] == bundle.sha256


def test_the_program_of_the_page_needs_no_mmfas(bundle: Bundle, tmp_path: Path) -> None:
    assert bundle.golden is not None
    rows, columns = picture_size(bundle)  # the program resizes nothing
    small = {m: torch.from_numpy(cv2.resize(p, (columns, rows))) for m, p in bundle.golden.arrays().items()}
    sized = replace(bundle, golden=replace(bundle.golden, pictures=small))
    scores = golden_scores(sized, TorchRuntime(bundle.build_model()))
    export_bundle(replace(sized, golden=replace(sized.golden, scores=scores)), tmp_path / 'model.onnx')
    page = (Path(__file__).parents[2] / 'docs/en/deploy.md').read_text(encoding='utf-8')
    blocks = re.findall(r'^```python\n(.*?)^```', page, re.MULTILINE | re.DOTALL)
    (program,) = [block for block in blocks if 'import onnxruntime' in block]
    absent = "import sys\nsys.modules.update(dict.fromkeys(('mmfas', 'mmengine', 'torch', 'cv2', 'onnx')))\n"
    command = [sys.executable, '-c', absent + program]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    wanted = bundle.decision.decide(scores[0])
    assert (done.returncode, done.stdout.strip()) == (0, wanted), done.stderr


def test_openvino_reads_the_file_by_itself(bundle: Bundle, exported: Path) -> None:
    openvino = pytest.importorskip('openvino', reason='needs openvino: pip install openvino')
    exact = {'INFERENCE_PRECISION_HINT': 'f32', 'INFERENCE_NUM_THREADS': 1}
    compiled = openvino.Core().compile_model(str(exported), 'CPU', exact)

    def run(images: Mapping[str, np.ndarray], present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = compiled({**images, 'present': present})
        return found['score'], found['logits']

    pictures = draw_pictures(bundle.modalities, 7, size=picture_size(bundle))
    parity = compare_scores(run, bundle.build_model(), pictures)
    parity.require()
    assert len(parity.rows) == 7


def test_command_prints_the_differences(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_bundle(bundle, tmp_path / 'model.mmfas.pth')
    assert export_main([str(path), '--format', 'pt2', '--out', str(tmp_path / 'model.pt2')]) == 0
    assert 'rgb+depth+ir' in capsys.readouterr().out and (tmp_path / 'model.pt2').is_file()
    assert bundle.golden is not None
    other = tuple(1 - score for score in bundle.golden.scores)
    wrong = write_bundle(replace(bundle, golden=replace(bundle.golden, scores=other)), tmp_path / 'wrong.pth')
    assert export_main([str(wrong), '--out', str(tmp_path / 'wrong.onnx')]) == 1
    assert 'gives the golden sample' in capsys.readouterr().err and not (tmp_path / 'wrong.onnx').exists()
    assert export_main([str(wrong), '--no-self-test', '--out', str(tmp_path / 'wrong.onnx')]) == 0
    assert 'wrong.onnx (operators of version 20)' in capsys.readouterr().out
    assert export_main([str(path), '--out', str(tmp_path / 'model.pt2')]) == 1
    assert "got format 'onnx' and" in capsys.readouterr().err


@pytest.mark.slow
def test_a_version_of_operators_that_cannot_be_had_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='it cannot be written in 9: leave --opset out'):
        export_bundle(bundle, tmp_path / 'old.onnx', opset=9)
    assert not (tmp_path / 'old.onnx').exists()


def test_changed_and_foreign_onnx_files_are_refused(exported: Path, tmp_path: Path) -> None:
    content = exported.read_bytes()
    for name, changed in {
        'threshold': content.replace(b'"threshold": ', b'"threshold":-', 1),
        'cut': content[: len(content) // 2],
        'picture': rendered_triple()['rgb'].tobytes(),
    }.items():
        assert changed != content
        (tmp_path / f'{name}.onnx').write_bytes(changed)
        with pytest.raises(ValueError, match=f"{name}.onnx' (is damaged|is no ONNX file|does not)"):
            FASInferencer(tmp_path / f'{name}.onnx')
    with pytest.raises(FileNotFoundError, match='nothing.onnx'):
        FASInferencer(tmp_path / 'nothing.onnx')


def test_mislabelled_onnx_files_are_refused(exported: Path, tmp_path: Path) -> None:
    content, path = exported.read_bytes(), tmp_path / 'other.onnx'
    header = unpack(content, 'file')
    record = header.metadata['bundle']
    few = {**record['golden'], 'present': [['rgb']], 'scores': [0.5]}
    for key, value, sentence in (
        ('modalities', ['rgb', 'depth'], 'is mislabelled: its graph takes'),
        ('golden', {**few, 'scores': []}, '0 scores of 1 sets'),
        ('decision', {**record['decision'], 'polarity': 'the higher, the more spoof'}, 'scores must mean'),
    ):
        changed = {**record, 'optional': [], 'golden': few, key: value}
        metadata = {**header.metadata, 'bundle': changed}
        path.write_bytes(pack(onnx.load_model_from_string(content), replace(header, metadata=metadata)))
        with pytest.raises(BundleError, match=sentence):
            FASInferencer(path)


@pytest.mark.slow
def test_an_export_without_a_bundle_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    from mmfas.deploy.export import export_onnx

    export_onnx(bundle.build_model(), tmp_path / 'bare.onnx', size=(32, 32))
    with pytest.raises(BundleError, match="bare.onnx' was exported without its bundle"):
        FASInferencer(tmp_path / 'bare.onnx')


@pytest.mark.slow
def test_less_precise_files_bring_golden_scores_of_their_own(bundle: Bundle, tmp_path: Path) -> None:
    parity = export_bundle(bundle, tmp_path / 'fp16.onnx', precision='fp16')
    opened, scorer = open_onnx(tmp_path / 'fp16.onnx')
    assert not scorer.is_exact and len(parity.rows) == 7
    assert opened.golden is not None and bundle.golden is not None
    assert 0 < max(abs(a - b) for a, b in zip(opened.golden.scores, bundle.golden.scores, strict=True)) < 1e-2
    judge = FASInferencer(tmp_path / 'fp16.onnx')
    assert judge.self_test_difference is not None and judge.self_test_difference < 1e-6


@pytest.mark.slow
def test_settings_that_do_not_fit_are_refused_before_work_starts(bundle: Bundle, tmp_path: Path) -> None:
    live = rendered_triple()
    with pytest.raises(ValueError, match='calibration needs all modalities, but depth is missing'):
        export_bundle(bundle, tmp_path / 'no.onnx', precision='int8', calibration={'rgb': live['rgb']})
    with pytest.raises(ValueError, match='it would not gain from integers'):
        export_bundle(bundle, tmp_path / 'no.onnx', precision='int8', calibration=live)
    with pytest.raises(ValueError, match='written in fp32'):
        export_bundle(bundle, tmp_path / 'no.pt2', 'pt2', precision='fp16')
    assert not list(tmp_path.glob('no.*'))
