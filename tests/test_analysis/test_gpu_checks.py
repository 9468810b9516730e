"""The checks of a GPU, run on a CPU at tiny sizes; the rules for verdicts against hand-made lines."""

from __future__ import annotations

import json
import math
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

from mmfas.analysis.gpu.correctness import relative_errors
from mmfas.analysis.gpu.goals import MET, MISSED, NO_VERDICT, NOT_MEASURED, verdicts
from mmfas.analysis.gpu.same_draws import SameDraws
from mmfas.analysis.gpu.scoring import run_scoring
from mmfas.analysis.gpu.section import DONE, Clock, Section, read_records
from mmfas.analysis.gpu.tables import tables_of
from mmfas.analysis.gpu.wheels import wheels_to_carry
from mmfas.analysis.gpu.workloads import LARGE, small_methods
from mmfas.apis.model_index import configs_folder
from mmfas.cli.measure import gpu

REPO = Path(__file__).resolve().parents[2]
METHODS = {
    'ama', 'big-moe', 'cmfl', 'concat', 'cross-attention', 'dadm', 'flip', 'mean', 'mmda', 'mmdg', 'safas',
}  # fmt: skip
#: No losses per modality, so a step has no rule.
WITHOUT_RULE = {'mmda'}

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures('small_and_quiet')]


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the lines of all sections but SynthFAS."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp('gpu_checks')
    options = ['--device', 'cpu', '--tiny', '--workers', '0', '--seconds', '300', '--out', str(out)]
    assert gpu.main(options) == 0
    torch.set_num_threads(threads)
    return out


@pytest.fixture(scope='module')
def lines(folder: Path) -> list[dict[str, Any]]:
    return read_records(folder)


def of(lines: list[dict[str, Any]], section: str, check: str) -> dict[str, dict[str, Any]]:
    """Lines of one check by method."""
    return {r['method']: r for r in lines if r['section'] == section and r['check'] == check}


def test_gpu_checks_know_every_method() -> None:
    assert {method.name for method in small_methods(configs_folder())} == METHODS
    assert all((configs_folder() / path).is_file() for path in LARGE.values())


@pytest.mark.slow
def test_gpu_checks_come_to_the_end_of_every_section(lines: list[dict[str, Any]]) -> None:
    ended = [r['section'] for r in lines if r['check'] == 'end']
    assert ended == sorted(gpu.DEFAULT)
    lost = [r for r in lines if r['status'] != DONE]
    assert [(r['section'], r['method'], r['check']) for r in lost] == []
    machine = [r for r in lines if r['check'] == 'machine']
    assert all(r['is_tiny'] and r['commit'] and r['torch'] == torch.__version__ for r in machine)


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['float32', 'bfloat16', 'float16'])
def test_gpu_checks_compare_every_method_with_float64(lines: list[dict[str, Any]], kind: str) -> None:
    found = of(lines, 'correctness', kind)
    assert set(found) == (METHODS if kind == 'float32' else {'concat', 'mmdg', 'big-moe'})
    for name, row in found.items():
        errors = {key: value for key, value in row.items() if key.endswith('_error')}
        assert row['is_within'] and all(math.isfinite(v) for v in errors.values()), name
        # float32 has 24 bits: an error of exactly 0 would mean that something is compared with itself
        assert errors['gradient_error'] > 1e-9, name
        assert ('step_error' in errors) == (kind != 'float16' and name not in WITHOUT_RULE), name


@pytest.mark.slow
def test_gpu_checks_take_regrad_where_it_can_act(lines: list[dict[str, Any]]) -> None:
    rules = {name: row['rule'] for name, row in of(lines, 'correctness', 'float32').items()}
    assert rules == {name: 'none' if name in WITHOUT_RULE else 'ReGrad' for name in METHODS}


@pytest.mark.slow
def test_gpu_checks_compare_compiled_and_distributed_models(lines: list[dict[str, Any]]) -> None:
    assert of(lines, 'correctness', 'compiled')['concat']['is_compiled'] is False
    distributed = of(lines, 'correctness', 'distributed')
    assert set(distributed) == {'concat', 'mmdg'} and 'step_error' in distributed['mmdg']
    assert {row['backend'] for row in distributed.values()} == {'gloo'}
    assert not torch.distributed.is_initialized()


@pytest.mark.slow
def test_gpu_checks_measure_steps_beside_a_floor_with_as_many_passes(lines: list[dict[str, Any]]) -> None:
    steps = of(lines, 'training', 'step')
    assert list(steps) == list(LARGE)[:3]
    passes = {name: row['num_passes'] for name, row in steps.items()}
    assert passes == {'concat': 1, 'mmdg': 4, 'big-moe': 1}
    assert {name for name, row in steps.items() if row['is_joint']} == {'big-moe'}
    assert of(lines, 'training', 'host reads')['concat']['places'] == []
    for row in steps.values():
        assert row['ratio_low'] <= row['ratio'] <= row['ratio_high']
        assert row['step_tflop'] > 0 and row['peak_mib'] > 0 and row['matmul_part'] > 0


@pytest.mark.slow
def test_gpu_checks_time_scoring_in_every_way(lines: list[dict[str, Any]]) -> None:
    done = [(r['method'], r['check']) for r in lines if r['section'] == 'scoring' and r['method']]
    eager, fast = 'eager, batch 2', 'compiled, batch 2'
    assert done == [('mmdg', eager), ('concat', eager), ('mmdg', fast), ('big-moe', eager), ('mmda', eager)]
    waiting = of(lines, 'data_path', 'waiting')['concat']
    assert 0 <= waiting['waiting_part'] < 1 and waiting['num_batches'] == 3


@pytest.mark.slow
def test_gpu_checks_render_train_and_test(tmp_path: Path) -> None:
    options = ['synthfas', '--device', 'cpu', '--tiny', '--workers', '0', '--out', str(tmp_path)]
    assert gpu.main(options) == 0
    found = {r['check']: r for r in read_records(tmp_path)}
    assert list(found) == ['machine', 'rendering', 'training', 'end']
    # 21 + 12 frames of C, P and S, 21 of W
    assert found['rendering']['num_triples'] == 3 * 33 + 21
    trained = found['training']
    assert (trained['method'], trained['num_epochs'], trained['is_pretrained']) == ('concat', 1, False)
    assert trained['num_steps'] >= 1 and 0 <= trained['auc'] <= 1 and 0 <= trained['hter'] <= 1
    assert '| concat | 1 |' in tables_of(list(found.values()))


def test_gpu_checks_time_an_onnx_session(tmp_path: Path) -> None:
    """The time of every item but the last is over; the session is a stub that counts."""
    seen: list[tuple[int, ...]] = []

    def open_onnx(model: Any, size: tuple[int, int], device: torch.device) -> Any:
        assert size == (64, 64) and device.type == 'cpu'
        return lambda pictures: seen.append(pictures['depth'].shape)

    times = iter([0.0] + [2.0] * 5 + [0.5])
    section = Section('scoring', tmp_path, torch.device('cpu'), Clock(1, now=lambda: next(times)), is_tiny=True)
    run_scoring(section, configs_folder(), open_onnx=open_onnx)
    found = read_records(tmp_path)
    assert [r['status'] for r in found] == ['not reached'] * 5 + [DONE]
    assert seen == [(2, 3, 64, 64)] * 4 and found[-1]['check'] == 'onnx, batch 2' and found[-1]['num_rounds'] == 3


@pytest.mark.slow
def test_gpu_checks_print_the_tables_of_a_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main(['--tables', '--out', str(folder)]) == 0
    out = capsys.readouterr().out
    assert out == tables_of(read_records(folder)) + '\n'
    assert 'TINY SIZES' in out and '| mmdg | 2 | 4 |' in out and 'What was not measured' not in out


def test_gpu_checks_without_a_gpu_say_not_measured() -> None:
    assert {verdict.verdict for verdict in verdicts([])} == {NOT_MEASURED}
    text = tables_of([])
    assert text.startswith('Machine: not run\n') and text.count('| not run | not measured |') == len(verdicts([]))


def step_line(**values: Any) -> dict[str, Any]:
    base = dict(ratio=1.0, ratio_low=0.99, ratio_high=1.01, peak_ratio=1.1, matmul_part=0.5)
    return dict(section='training', method='mmdg', check='step', status=DONE) | base | values


@pytest.mark.parametrize(
    ('values', 'goal', 'expected'),
    [
        ({}, 'step at most 1.05 x', MET),
        (dict(ratio_high=1.06), 'step at most 1.05 x', NO_VERDICT),
        (dict(ratio_low=1.06, ratio_high=1.07), 'step at most 1.05 x', MISSED),
        (dict(peak_ratio=1.3), 'peak of memory', MISSED),
        (dict(matmul_part=0.39), 'at least 40%', MISSED),
        (dict(matmul_part=None), 'at least 40%', NOT_MEASURED),
    ],
)
def test_gpu_checks_judge_a_step(values: dict[str, Any], goal: str, expected: str) -> None:
    found = [v for v in verdicts([step_line(**values)]) if v.method == 'mmdg' and v.goal.startswith(goal)]
    assert [v.verdict for v in found] == [expected]


def test_gpu_checks_do_not_call_correct_what_failed_or_was_not_reached() -> None:
    row = dict(section='correctness', check='float32')
    good = dict(row, method='a', status=DONE, is_within=True)
    for other, expected in (
        (dict(status=DONE, is_within=True), MET),
        (dict(status=DONE, is_within=False), MISSED),
        (dict(status='failed', reason='x'), MISSED),
        (dict(status='not reached'), NO_VERDICT),
    ):
        assert verdicts([good, dict(row, method='b', **other)])[0].verdict == expected


def test_gpu_checks_go_on_after_failures_and_stop_when_the_time_is_over(tmp_path: Path) -> None:
    times = iter([0.0, 1.0, 2.0, 3.0, 5.0])
    section = Section('x', tmp_path, torch.device('cpu'), Clock(4, now=lambda: next(times)))

    def fail() -> dict[str, Any]:
        raise RuntimeError('out of memory')

    assert section.run('a', 'first', fail) is None
    second = section.run('a', 'second', dict, [('value', 3)])
    assert second is not None and second['value'] == 3 and second['seconds'] >= 0
    assert section.run('a', 'no JSON', dict, [('value', torch.zeros(1))]) is None
    assert section.run('a', 'third', fail) is None
    with (tmp_path / 'x.jsonl').open('a') as file:
        file.write('{"section": "x", "meth')  # killed while it wrote
    found = read_records(tmp_path)
    assert [r['status'] for r in found] == ['failed', 'done', 'failed', 'not reached', 'failed']
    assert found[0]['reason'].startswith('RuntimeError: out of memory') and found[1]['value'] == 3
    assert 'cut off' in tables_of(found)


def test_gpu_checks_draw_the_same_numbers_in_every_precision() -> None:
    with SameDraws(3):
        one, two = torch.rand(2, 3), torch.randn_like(torch.zeros(4, dtype=torch.float64))
    with SameDraws(3):
        other = torch.rand(2, 3, dtype=torch.float64), torch.randn_like(torch.zeros(4))
    assert torch.equal(one.double(), other[0]) and torch.equal(two, other[1].double())
    assert two.dtype == torch.float64
    errors = relative_errors({'x': torch.tensor([3.0, 4.5])}, {'x': torch.tensor([3.0, 4.0]), 'y': one})
    assert errors == {'x_error': pytest.approx(0.1)}


def test_gpu_checks_list_the_wheels_to_carry(capsys: pytest.CaptureFixture[str]) -> None:
    wheels = {wheel.name: wheel for wheel in wheels_to_carry()}
    assert {'onedl-mmengine', 'onedl-mmcv', 'onedl-mmpretrain', 'prettytable', 'simplejpeg'} <= set(wheels)
    assert not {'torch', 'numpy', 'mmfas', 'pytest'} & set(wheels)
    assert wheels['onedl-mmengine'].is_pure and not wheels['simplejpeg'].is_pure
    assert gpu.main(['--list-wheels', '--have', 'simplejpeg']) == 0
    out = capsys.readouterr().out.splitlines()
    assert len(out) == len(wheels) and out[-1].startswith(f'{len(wheels) - 1} packages, ')
    assert {wheel.name for wheel in wheels_to_carry(lack=['PyYAML', 'rich'])} - set(wheels) == {'pyyaml', 'rich'}


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['speed'], "there is no section 'speed'"),
        (['--tables', 'training'], '--tables and --list-wheels run nothing'),
        (['training', '--data', '.'], '--data and --pretrained are options of the section synthfas'),
        (['training', '--lack', 'rich'], '--have and --lack go with --list-wheels'),
        (['--tables', '--out', 'nowhere'], "'nowhere' is not a folder of lines"),
        (['synthfas', '--pretrained', 'no.pth'], "'no.pth' does not exist"),
    ],
)
def test_gpu_checks_refuse_what_does_not_fit(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gpu.main(options) == 1
    assert message in capsys.readouterr().err


#: In place of python: packages may be missing; the first section fails, the second hangs, the third works.
STUB = """#!/usr/bin/env bash
case "$*" in
    *find_spec*) echo "${MISSING:-}" ;;
    *correctness*) exit 1 ;;
    *training*) printf '{"section": "training", "meth' >> "$OUT/training.jsonl"; sleep 20 ;;
    *--tables*) echo the tables ;;
esac
"""


def run_script(folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the script with the stub in place of python."""
    stub, out = folder / 'python', folder / 'out'
    stub.write_text(STUB)
    stub.chmod(stub.stat().st_mode | stat.S_IXUSR)
    return subprocess.run(
        ['bash', str(REPO / 'tools' / 'gpu_checks.sh'), '--out', str(out), '--seconds', '0.2', '--tiny'],
        env={'PATH': '/usr/bin:/bin', 'PYTHON': str(stub), 'OUT': str(out), 'MMFAS_GPU_GRACE': '0', **env},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_gpu_checks_script_names_what_is_not_installed_before_it_starts(tmp_path: Path) -> None:
    done = run_script(tmp_path, MISSING='pyyaml rich')
    assert done.returncode == 2 and "MMFAS_GPU_LACKS='pyyaml rich' bash tools/gpu_wheels.sh" in done.stderr
    assert not (tmp_path / 'out').exists()


def test_gpu_checks_script_goes_on_and_says_so(tmp_path: Path) -> None:
    out = tmp_path / 'out'
    done = run_script(tmp_path)
    assert done.returncode == 1 and done.stdout == 'the tables\n' == (out / 'tables.md').read_text()
    assert 'correctness: exit status 1' in done.stderr and 'training: exit status 124' in done.stderr
    assert 'data_path (0.2 s)' in done.stderr and 'data_path: exit' not in done.stderr
    last = json.loads((out / 'training.jsonl').read_text().splitlines()[-1])
    assert (last['check'], last['reason']) == ('section', 'exit status 124')
    assert [r['reason'] for r in read_records(out)] == ['the line was cut off', 'exit status 124']
