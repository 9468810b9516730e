"""Times of a verdict: every runtime scores alike and is timed in every round."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from mmfas.cli.measure.latency import main
from mmfas.deploy.bundle import Bundle
from mmfas.deploy.bundle_file import write_bundle
from mmfas.deploy.golden_sample import check_golden_sample
from mmfas.deploy.latency import CLOCKS, RUNTIMES, instruction_sets, measure_latency

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures('exports_once')]


def test_command_prints_preprocessing_and_runtimes(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = write_bundle(bundle, tmp_path / 'model.mmfas.pth'), tmp_path / 'times.json'
    assert main([str(path), '--runtimes', 'torch', '--rounds', '5', '--out', str(out)]) == 0
    assert 'preprocessing' in capsys.readouterr().out
    times = json.loads(out.read_text())['times']
    assert {one['threads'] for one in times} == {1, os.cpu_count()}
    assert [(one['name'], one['batch_size']) for one in times if one['threads'] == 1] == [
        ('preprocessing', 1),
        ('torch', 1),
        ('preprocessing', 8),
        ('torch', 8),
    ]
    assert all(0 < one['median_ms'] <= one['p99_ms'] for one in times)
    assert all(one['ratio'] == 1.0 for one in times if one['name'] == 'torch')
    assert main([str(path), '--runtimes', 'tensorrt']) == 1
    assert "there is no runtime 'tensorrt'; there are torch, compiled, onnx, int8" in capsys.readouterr().err
    with pytest.raises(ValueError, match='at least 1'):
        measure_latency(bundle, batch_sizes=(0,))


def test_on_a_busy_machine_the_cpu_time_of_one_thread_is_measured(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = write_bundle(bundle, tmp_path / 'model.mmfas.pth'), tmp_path / 'times.json'
    ticks = iter(range(1000))
    monkeypatch.setitem(CLOCKS, 'cpu', lambda: next(ticks) / 1000)  # every call takes one tick
    options = ['--clock', 'cpu', '--runtimes', 'torch', '--batch-sizes', '1', '--rounds', '2']
    assert main([str(path), *options, '--out', str(out)]) == 0
    assert 'CPU time per sample' in capsys.readouterr().out
    report = json.loads(out.read_text())
    assert report['clock'] == 'cpu' and [one['threads'] for one in report['times']] == [1, 1]
    assert [one['median_ms'] for one in report['times']] == pytest.approx([1.0, 1.0])
    assert main([str(path), *options, '--threads', '2']) == 1
    assert 'CPU time adds up all threads, so it says nothing of 2 of them' in capsys.readouterr().err


@pytest.mark.slow
def test_the_onnx_runtime_scores_as_the_bundle(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip('onnxruntime', reason='needs the extra deploy')
    pytest.importorskip('onnxscript', reason='needs the extra deploy')
    make = RUNTIMES['onnx'](bundle)
    assert check_golden_sample(bundle, make(1)) < 1e-6
    monkeypatch.setitem(RUNTIMES, 'onnx', lambda bundle: make)  # made once: it takes seconds
    ratio = {one.name: one.ratio for one in measure_latency(bundle, batch_sizes=(1,), num_rounds=30)}
    assert np.isfinite(ratio['onnx']) and ratio['onnx'] > 0


def test_processors_are_named_by_their_instructions(tmp_path: Path) -> None:
    (tmp_path / 'cpuinfo').write_text('model name\t: Some CPU\nflags\t\t: fpu avx2 avx512f avx512_vnni\n')
    assert instruction_sets(tmp_path / 'cpuinfo') == 'Some CPU: avx2, avx512f, avx512_vnni'
    assert instruction_sets(tmp_path / 'nothing') == 'unknown processor'
