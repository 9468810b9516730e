"""The executors do the same: pool, submitit on this machine; stopped, requeued and continued."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import subprocess
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from mmfas.benchmark import cluster
from mmfas.benchmark.attempt import Outcome
from mmfas.benchmark.jobs import Job, Settings, do_job
from mmfas.benchmark.methods import find_method
from mmfas.benchmark.plan import cells_of, trainings_of
from mmfas.benchmark.record import Record
from mmfas.benchmark.records import read_records
from mmfas.benchmark.submitted import SubmittedJob, _end_with_driver
from mmfas.cli.__main__ import main
from mmfas.synthfas import Setting, render_dataset
from mmfas.utils.errors import InputError, MissingPackageError, RunError

METHOD = 'concat_mini-vit_1xb32-12e_synthfas-cps2w'

pytestmark = pytest.mark.engine


@pytest.fixture(scope='module')
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('executors') / 'tiny'
    render_dataset(folder, Setting('tiny', 0), num_processes=1)
    render_dataset(folder, Setting('tiny', 0), domains=('P',), splits=('site',), num_processes=1)
    return folder


def make_job(folder: Path, data_root: Path) -> Job:
    """Return the training CSW -> P with its cell of Protocol 1."""
    settings = Settings(str(folder / 'runs'), str(folder / 'work'), str(data_root))
    cells = [cell for cell in cells_of([METHOD], [1], [3]) if cell.split == 'csw2p']
    method = find_method(METHOD, {'train_cfg.max_epochs': 3, 'model.trunk.vit.arch.num_layers': 1})
    return Job(method, trainings_of(cells)[0], settings)


def same(record: Record) -> dict[str, Any]:
    """What must not depend on how a record was made."""
    return {key: value for key, value in asdict(record).items() if key not in ('seconds', 'device')}


def interrupt(handle: Any, checkpoint: Path) -> None:
    """Send what a scheduler sends when it takes a node away, as soon as an epoch is saved."""
    deadline = time.monotonic() + 120
    while not checkpoint.is_file() and time.monotonic() < deadline:
        time.sleep(0.01)
    call = ['pgrep', '-P', str(handle._process.pid)]
    (task,) = subprocess.run(call, capture_output=True, text=True, check=True).stdout.split()
    os.kill(int(task), signal.SIGUSR2)


@pytest.mark.fuzz
@pytest.mark.slow(30)
def test_a_requeued_job_of_submitit_gives_the_record_of_this_process(
    tmp_path: Path, data_root: Path, small_and_quiet: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitit = pytest.importorskip('submitit', reason="needs submitit: pip install 'mmfas[cluster]'")
    (here,) = do_job(make_job(tmp_path / 'here', data_root))
    job = make_job(tmp_path / 'there', data_root)
    watchers: list[threading.Thread] = []
    submit = submitit.LocalExecutor.submit

    def submit_and_interrupt(executor: Any, function: Any) -> Any:
        handle = submit(executor, function)
        watchers.append(threading.Thread(target=interrupt, args=(handle, job.folder / 'epoch_1.pth')))
        watchers[-1].start()
        return handle

    monkeypatch.setattr(submitit.LocalExecutor, 'submit', submit_and_interrupt)
    monkeypatch.setattr(cluster, 'HEARTBEAT_S', 0.0)
    lines: list[str] = []
    assert cluster.run_local([job], ['cpu'] * (os.cpu_count() or 1), report=lines.append) == []
    watchers[0].join()
    (there,) = read_records(tmp_path / 'there' / 'runs')
    assert same(there) == same(here)
    assert here.site is not None and [entry['num_videos'] for entry in here.site['numbers']] == [3, 5]
    assert {entry['num_videos'] for entry in here.site['left_out']} == {20, 50}, (
        '`tiny` has six videos of the site'
    )
    log = (job.folder / 'log.txt').read_text(encoding='utf-8')
    assert 'resumed epoch: ' in log, 'the second start continued what the first had done'
    assert lines[-1].startswith(f'[1/1] {METHOD} csw2p seed 3: p1_csw2p_s3: HTER ')
    assert any(line.startswith(f'[0/1] {METHOD} csw2p seed 3 epoch ') and '(job ' in line for line in lines)
    assert cluster.run_local([], ['cpu'], report=lines.append) == []


def test_a_job_survives_the_way_to_a_node(tmp_path: Path, data_root: Path) -> None:
    pytest.importorskip('submitit', reason="needs submitit: pip install 'mmfas[cluster]'")
    submitted = SubmittedJob(make_job(tmp_path, data_root), None, 2)
    assert pickle.loads(pickle.dumps(submitted)) == submitted
    again = submitted.checkpoint()
    assert again.function is submitted and (again.args, again.kwargs) == ((), {})


def test_a_job_waits_for_one_of_an_earlier_call_and_leaves_other_outcomes_alone(
    tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes = [Outcome('left', 'busy'), Outcome('left', 'busy'), Outcome('done', 'nothing left to do')]
    monkeypatch.setattr('mmfas.benchmark.submitted.RETRY_S', 0.0)
    monkeypatch.setattr('mmfas.benchmark.submitted.attempt', lambda *args: outcomes.pop(0))
    assert SubmittedJob(make_job(tmp_path, data_root), None, 1)() == Outcome('done', 'nothing left to do')
    assert outcomes == []


def _hold(path: str, ready: Any) -> None:
    with FileLock(path):
        ready.set()
        time.sleep(60)


def test_a_job_ends_when_the_command_that_waits_for_it_is_killed(tmp_path: Path) -> None:
    context = multiprocessing.get_context('fork')
    path, ready = str(tmp_path / 'driver.lock'), context.Event()
    driver = context.Process(target=_hold, args=(path, ready))
    driver.start()
    assert ready.wait(30)
    job = context.Process(target=_end_with_driver, args=(path,))
    job.start()
    job.join(0.7)
    assert job.is_alive()
    driver.kill()
    job.join(30)
    assert job.exitcode == -signal.SIGTERM


class Queue:
    """A cluster without nodes: what is submitted is only numbered."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.submitted: list[Any] = []
        self.states: dict[str, str] | None = {}
        monkeypatch.setattr(cluster, '_queue', lambda: self.states)
        monkeypatch.setattr(cluster, '_slurm_executor', lambda submitit, folder, *rest: self._use(folder))
        monkeypatch.setattr(cluster, 'QUEUE_S', 0.0)
        monkeypatch.setattr(cluster, 'POLL_S', 0.0)
        monkeypatch.setattr(cluster, 'RESULT_S', 0.05)

    def _use(self, folder: Path) -> Queue:
        self.folder = folder
        return self

    def batch(self) -> Any:
        from contextlib import nullcontext

        return nullcontext()

    def submit(self, function: SubmittedJob) -> Any:
        import submitit

        self.submitted.append(function)
        assert self.states is not None
        number = f'7_{len(self.submitted)}'
        self.states[number] = 'PENDING'
        return submitit.SlurmJob(folder=self.folder, job_id=number)

    def finish(self, number: str, outcome: Outcome) -> None:
        assert self.states is not None
        del self.states[number]
        (self.folder / f'{number}_0_result.pkl').write_bytes(pickle.dumps(('success', outcome)))


def test_jobs_of_an_earlier_call_are_waited_for_and_lost_ones_named(
    tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip('submitit', reason="needs submitit: pip install 'mmfas[cluster]'")
    queue, job, lines = Queue(monkeypatch), make_job(tmp_path, data_root), []

    def killed(line: str) -> None:
        lines.append(line)
        if 'submitted as job' in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cluster.run_slurm([job], 1, {}, report=killed)
    assert (job.folder / cluster.TICKET).is_file() and len(queue.submitted) == 1

    def finish(line: str) -> None:
        lines.append(line)
        if 'of an earlier call' in line:
            queue.finish('7_1', Outcome('done', 'nothing left to do'))

    assert cluster.run_slurm([job], 1, {}, report=finish) == []
    assert len(queue.submitted) == 1, 'not submitted twice'
    assert lines[-2:] == [
        f'{job.name}: job 7_1 of an earlier call does it',
        f'[1/1] {job.name}: nothing left to do',
    ]
    assert not (job.folder / cluster.TICKET).is_file()

    def lose(line: str) -> None:
        lines.append(line)
        queue.states = {}

    (failure,) = cluster.run_slurm([job], 1, {}, report=lose)
    assert 'job 7_2 ended without a result (killed, or out of memory?)' in failure
    assert failure.endswith(f'the full message is in {job.folder / "log.txt"}')
    # a job of other settings is not this one
    other = replace(job, settings=replace(job.settings, select='dev'))
    queue.states = {'7_2': 'RUNNING'}
    (job.folder / cluster.TICKET).write_text(
        f'{{"job_id": "7_2", "folder": "{queue.folder}", "identity": "else"}}'
    )
    assert cluster._earlier_jobs(__import__('submitit'), [other]) == ([], [other])


def test_what_cannot_work_is_refused(
    tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ['benchmark', 'run', METHOD, '--protocols', '3', '--data-root', str(data_root)]
    call += ['--work-dir', str(tmp_path), '--records', str(tmp_path / 'runs')]
    assert main([*call, '--slurm', 'partition=gpu']) == 2
    assert '--slurm belongs to --executor slurm' in capsys.readouterr().err
    monkeypatch.setitem(__import__('sys').modules, 'submitit', None)
    with pytest.raises(MissingPackageError, match=r"pip install 'mmfas\[cluster\]'"):
        cluster.run_local([], [], report=print)
    monkeypatch.undo()
    submitit = pytest.importorskip('submitit', reason="needs submitit: pip install 'mmfas[cluster]'")
    monkeypatch.setattr('shutil.which', lambda name: None)
    with pytest.raises(RunError, match='there is no Slurm on this machine'):
        cluster._slurm_executor(submitit, tmp_path, 1, {})
    monkeypatch.setattr('shutil.which', lambda name: f'/bin/{name}')
    with pytest.raises(InputError, match=r'--slurm: Unavailable parameter.*known are .*partition'):
        cluster._slurm_executor(submitit, tmp_path, 1, {'partitoin': 'gpu'})
