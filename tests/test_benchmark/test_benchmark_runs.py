"""The benchmark on tiny data: trained, killed, restarted, and the same table in the end."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from fork_server import warm_context
from warm_python import warm_python

from mmfas.apis.training import train
from mmfas.benchmark import jobs as jobs_module
from mmfas.benchmark.jobs import Job, Settings, do_job, share_trainings
from mmfas.benchmark.methods import find_method
from mmfas.benchmark.plan import cells_of, trainings_of
from mmfas.benchmark.pool import run_jobs
from mmfas.benchmark.record import rounded
from mmfas.benchmark.records import read_record, read_records
from mmfas.cli.benchmark import main
from mmfas.synthfas import Setting, render_dataset
from mmfas.utils.locks import BusyError

METHOD = 'concat_mini-vit_1xb32-12e_synthfas-cps2w'
#: One block in place of four: what is held here does not depend on how much is computed.
SMALL = {'model.trunk.vit.arch.num_layers': 1}
#: Of a training that is killed after its first and second epoch; a job takes a while to see that nobody waits.
EPOCHS = 12

pytestmark = pytest.mark.engine


@pytest.fixture(scope='module')
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('benchmark') / 'tiny'
    render_dataset(folder, Setting('tiny', 0), num_processes=1)
    warm_context()  # for the pool
    return folder


def arguments(folder: Path, data_root: Path) -> list[str]:
    """Return the call that fills Protocol 3, one split of it."""
    places = ['--records', str(folder / 'runs'), '--work-dir', str(folder / 'work'), '--data-root', str(data_root)]
    call = ['run', METHOD, '--protocols', '3', *places, '--splits', 'cw2ps', '--paper-scoring', '3']
    options = {'train_cfg.max_epochs': EPOCHS, **SMALL}
    return [*call, '--cfg-options', *(f'{key}={value}' for key, value in options.items())]


def run(folder: Path, data_root: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Run to the end and return the tables."""
    assert main(arguments(folder, data_root)) == 0
    text = capsys.readouterr().out
    return text[text.index('Protocol 3') :]


def kill_when_there_is(path: Path, folder: Path, data_root: Path, executor: str) -> None:
    """Start the command and kill it, and nothing else, as soon as a file is there."""
    call = [*arguments(folder, data_root), '--executor', executor]
    command = [warm_python(), '-m', 'mmfas.cli', 'benchmark', *call]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 600  # it takes seconds; a busy machine may need minutes
    while not path.is_file():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def _job(folder: Path, data_root: Path, **options: Any) -> Job:
    """Return the training CPS -> W with its cells of Protocols 1 and 2."""
    settings = Settings(str(folder / 'runs'), str(folder / 'work'), str(data_root), select='dev')
    return Job(
        find_method(METHOD, {**SMALL, **options}), trainings_of(cells_of([METHOD], [1, 2], [0]))[0], settings
    )


@pytest.mark.slow(30)
def test_killed_and_restarted_gives_the_same_table(
    tmp_path: Path, data_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = run(tmp_path / 'whole', data_root, capsys)
    broken = tmp_path / 'broken'
    training = broken / 'work' / METHOD / 'cw2ps_s0'
    for epoch, executor in ((1, 'pool'), (2, 'local')):
        if executor == 'local':
            pytest.importorskip('submitit', reason="needs submitit: pip install 'mmfas[cluster]'")
        kill_when_there_is(training / f'epoch_{epoch}.pth', broken, data_root, executor)
        with FileLock(training / '.lock', timeout=20):  # the process that trained has ended with it
            assert not (training / f'epoch_{EPOCHS}.pth').exists()
        assert read_records(broken / 'runs') == []

    assert run(broken, data_root, capsys) == whole
    assert 'resumed epoch: ' in (training / 'log.txt').read_text(encoding='utf-8')
    records = {name: read_records(tmp_path / name / 'runs') for name in ('whole', 'broken')}
    assert [r.cell.name for r in records['whole']] == ['p3_cw2ps_s0']
    for one, other in zip(records['whole'], records['broken'], strict=True):
        assert one.report == other.report
        assert one.scores == other.scores  # with the hash of the bytes
        assert one.paper == other.paper
        every = one.paper['every_epoch']
        assert len(every) == EPOCHS
        assert one.paper['hter'] == min(epoch['hter'] for epoch in every)
        assert one.paper['auc'] == every[one.paper['epoch'] - 1]['auc']
    assert len(list(training.glob('epoch_*.pth'))) == 1  # those of single epochs were only for the paper's scoring

    before = {path: path.stat().st_mtime_ns for path in (broken / 'runs').rglob('*.*')}
    assert run(broken, data_root, capsys) == whole
    assert {path: path.stat().st_mtime_ns for path in (broken / 'runs').rglob('*.*')} == before
    assert main(['run', '--dry-run', *arguments(broken, data_root)[1:]]) == 0
    assert '1 cell(s), 1 of them done; 0 training(s) to go' in capsys.readouterr().out


@pytest.mark.parametrize('option', ['--records', '--work-dir'])
def test_folders_that_cannot_be_written_are_found_before_any_training(
    option: str, tmp_path: Path, data_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / 'file').touch()
    place = str(tmp_path / 'file' / 'below')
    call = arguments(tmp_path, data_root)
    call[call.index(option) + 1] = place
    assert main(call) == 1
    found = capsys.readouterr()
    assert f"'{place}'" in found.err and 'not run' not in found.out
    assert not list(tmp_path.rglob('*.pth'))


@pytest.mark.slow(10)
def test_one_training_fills_protocols_1_and_2_and_the_sweep(
    tmp_path: Path, data_root: Path, small_and_quiet: None, capsys: pytest.CaptureFixture[str]
) -> None:
    job = _job(tmp_path, data_root, **{'train_cfg.max_epochs': 2})
    made = do_job(job)
    assert [record.split for record in made] == [cell.split for cell in job.training.cells]
    assert len({record.report['threshold']['value'] for record in made}) == 4  # of equally degraded dev sets
    assert {record.report['threshold']['origin'] for record in made} == {'dev-eer'}
    assert len({(record.epoch, record.seconds['train']) for record in made}) == 1
    assert all(record.paper is None for record in made)
    best = next(job.folder.glob('best_dev_hter_epoch_*.pth'))
    assert best.stem.endswith(f'_{made[0].epoch}')
    assert do_job(job) == []
    tested = json.loads((job.folder / 'p2_cps2w_no-ir_s0' / 'report.json').read_text())
    assert rounded(tested['reports'][0]['auc']) == next(r for r in made if r.split == 'cps2w_no-ir').report['auc']
    # the sweep scores the same checkpoint, and only the subsets that Protocols 1 and 2 have not
    swept = tuple(cell for cell in cells_of([METHOD], ['2s'], [0]) if cell.trained_split == 'cps2w')
    assert set(job.training.cells) < set(swept)
    wanted = (*job.training.cells, swept[-1])
    (record,) = do_job(replace(job, training=replace(job.training, cells=wanted)))
    assert (record.protocol, record.split) == ('2s', 'cps2w_no-rgb-depth')
    assert read_record(record.identity.path(job.settings.records, swept[-1])) == record
    # so does the command, and its row has every subset
    places = [
        '--records',
        job.settings.records,
        '--work-dir',
        job.settings.work_dir,
        '--data-root',
        str(data_root),
    ]
    options = [f'{key}={value}' for key, value in {'train_cfg.max_epochs': 2, **SMALL}.items()]
    call = ['run', METHOD, '--protocols', '2s', '--splits', 'cps2w', '--select', 'dev', *places]
    assert main([*call, '--cfg-options', *options]) == 0
    text = capsys.readouterr().out
    assert f'{len(swept)} cell(s), {len(wanted)} of them done; 1 training(s) to go' in text
    assert {record.split for record in read_records(job.settings.records)} == {cell.split for cell in swept}


@pytest.mark.slow(10)
def test_methods_that_differ_at_test_only_share_one_training(
    tmp_path: Path, data_root: Path, small_and_quiet: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[str] = []
    monkeypatch.setattr(jobs_module, 'train', lambda cfg: (trained.append(cfg.work_dir), train(cfg)))
    settings = Settings(str(tmp_path / 'runs'), str(tmp_path / 'work'), str(data_root))
    name, options = 'big-moe_mini-vit_1xb32-12e_synthfas-cps2w', {'train_cfg.max_epochs': 1, **SMALL}
    cells = [cell for cell in cells_of([f'{name}_no-code', name], [1, 2], [0]) if cell.trained_split == 'cps2w']
    trainings = trainings_of(cells)
    assert [training.method for training in trainings] == [f'{name}_no-code', name]
    jobs = share_trainings([Job(find_method(t.method, options), t, settings) for t in trainings])
    assert len(jobs) == 1 and jobs[0].folder == tmp_path / 'work' / name / 'cps2w_s0'
    made = do_job(jobs[0])
    assert trained == [str(jobs[0].folder)]
    assert [(record.method, record.split) for record in made] == [(cell.method, cell.split) for cell in cells]
    without, with_code = made[:4], made[4:]
    for one, other in zip(without, with_code, strict=True):
        same = one.scores['test']['sha256'] == other.scores['test']['sha256']
        assert same == (one.protocol == 1), 'the code says something only where a modality is missing'
        assert one.seconds['train'] == other.seconds['train']
    # once more, from the checkpoints alone
    (alone,) = share_trainings([Job(find_method(f'{name}_no-code', options), trainings[0], settings)])
    for path in (tmp_path / 'runs' / f'{name}_no-code').iterdir():
        path.unlink()
    assert [record.scores for record in do_job(alone)] == [record.scores for record in without]
    assert len(trained) == 1


def test_a_failed_training_is_named_and_its_reason_kept(tmp_path: Path, data_root: Path) -> None:
    empty = tmp_path / 'empty'
    empty.mkdir()
    (empty / 'manifest.json').write_bytes((data_root / 'manifest.json').read_bytes())
    job = _job(tmp_path, empty)
    lines: list[str] = []
    failures = run_jobs([job], ['cpu'], report=lines.append)
    assert len(failures) == len(lines) == 1
    assert lines[0].startswith('[1/1] ')
    assert failures[0].startswith(f'{METHOD} cps2w seed 0: failed, MissingFileError: ')
    assert failures[0].endswith(f'the full message is in {job.folder / "log.txt"}')
    assert 'Traceback' in (job.folder / 'log.txt').read_text(encoding='utf-8')
    assert read_records(job.settings.records) == []


def test_a_training_is_left_to_the_process_that_does_it(
    tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip('fcntl')
    monkeypatch.setattr('mmfas.utils.locks.WAIT_S', 0.1)
    job = _job(tmp_path, data_root)
    job.folder.mkdir(parents=True)
    with open(job.folder / '.lock', 'w', encoding='utf-8') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(BusyError, match='another process works in'):
            do_job(job)
    assert [path.name for path in job.folder.iterdir()] == ['.lock']
