"""What a file of fewer bits costs: rates of the bundle and of the file on the same labelled lists."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmfas.cli.export import main
from mmfas.deploy.bundle import Bundle
from mmfas.deploy.bundle_export import export_bundle
from mmfas.deploy.bundle_file import write_bundle
from mmfas.deploy.inferencer import FASInferencer
from mmfas.deploy.precision_cost import labelled_samples, measure_cost
from mmfas.evaluation.functional import auc, hter

pytest.importorskip('onnxruntime', reason='needs the extra deploy')
pytest.importorskip('onnxscript', reason='needs the extra deploy')
pytestmark = [pytest.mark.engine, pytest.mark.usefixtures('exports_once')]
LISTS = ['protocols/W-test.txt']


@pytest.mark.slow
def test_rates_are_those_of_the_verdicts_one_by_one(bundle: Bundle, faces: Path, tmp_path: Path) -> None:
    path = tmp_path / 'half.onnx'
    export_bundle(bundle, path, precision='fp16')
    samples = labelled_samples(bundle, LISTS, str(faces))
    found = measure_cost(bundle, path, samples)
    infos = [samples.get_data_info(index) for index in range(len(samples))]
    is_live = np.array([info['gt_label'] == 1 for info in infos])
    scores = []
    for source, rates in ((bundle, found.bundle), (path, found.exported)):
        judge = FASInferencer(source, 'cpu', quality_gate=False)
        verdicts = [judge.judge_pictures(info['img_paths']) for info in infos]
        scores.append(np.array([verdict.score for verdict in verdicts]))
        assert rates.auc == pytest.approx(auc(scores[-1], is_live), abs=1e-4)
        assert rates.hter == pytest.approx(
            hter(scores[-1], is_live, threshold=bundle.decision.threshold), abs=1e-2
        )
    assert found.max_difference == pytest.approx(np.abs(scores[0] - scores[1]).max(), abs=1e-5)
    assert (found.num_live, found.num_spoof) == (is_live.sum(), (~is_live).sum())


@pytest.mark.slow
def test_command_prints_the_cost_and_looks_at_the_lists_first(
    bundle: Bundle, faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = write_bundle(bundle, tmp_path / 'model.mmfas.pth'), tmp_path / 'model.onnx'
    given = [str(path), '--out', str(out), '--fp16']
    assert main([*given, '--dev', 'protocols/none.txt', '--data-root', str(faces)]) == 1
    assert 'none.txt does not exist' in capsys.readouterr().err and not out.exists()
    live = [line for line in (faces / LISTS[0]).read_text().splitlines(keepends=True) if line.split()[-1] == '1']
    (faces / 'protocols/live.txt').write_text(''.join(live))
    assert main([*given, '--dev', 'protocols/live.txt', '--data-root', str(faces)]) == 1
    assert 'there are live samples only' in capsys.readouterr().err and not out.exists()
    with pytest.raises(SystemExit):
        main([*given, '--data-root', str(faces)])
    assert main([*given, '--dev', *LISTS, '--data-root', str(faces)]) == 0
    printed = capsys.readouterr().out
    assert 'threshold at EER' in printed and 'change' in printed and 'decided otherwise' in printed
