"""A real Slurm of one node, started and stopped here: the array job of the benchmark, and the launch scripts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from slurm_node import missing, slurm_node

from mmfas.benchmark import cluster
from mmfas.benchmark.jobs import Job, Settings, do_job
from mmfas.benchmark.methods import find_method
from mmfas.benchmark.plan import cells_of, trainings_of
from mmfas.benchmark.records import read_records
from mmfas.synthfas import Setting, render_dataset

REPO = Path(__file__).parents[2]
METHOD = 'concat_mini-vit_1xb32-12e_synthfas-cps2w'

pytestmark = [
    pytest.mark.engine,
    pytest.mark.slow,
    pytest.mark.slurm,
    pytest.mark.skipif(bool(missing()), reason=missing() or 'there is one'),
]


@pytest.fixture(scope='module')
def node() -> Iterator[dict[str, str]]:
    """The environment of the cluster; its folder has a short name, as sockets need."""
    folder = Path(tempfile.mkdtemp(prefix='slurm', dir='/tmp'))
    try:
        with slurm_node(folder) as env:
            yield env
    finally:
        shutil.rmtree(folder)


def make_jobs(folder: Path, data_root: Path) -> list[Job]:
    """Return the training CSW -> P of two seeds."""
    settings = Settings(str(folder / 'runs'), str(folder / 'work'), str(data_root))
    cells = [cell for cell in cells_of([METHOD], [1], [3, 4]) if cell.split == 'csw2p']
    method = find_method(METHOD, {'train_cfg.max_epochs': 3})
    return [Job(method, training, settings) for training in trainings_of(cells)]


def same(folder: Path) -> list[dict[str, Any]]:
    """What must not depend on how records were made."""
    records = map(asdict, read_records(folder / 'runs'))
    return [
        {key: value for key, value in record.items() if key not in ('seconds', 'device')} for record in records
    ]


def preempt(job: Job, lines: list[str]) -> None:
    """Take the node from a job, as Slurm announces it, as soon as an epoch is saved."""
    deadline = time.monotonic() + 200
    while not (job.folder / 'epoch_1.pth').is_file() and time.monotonic() < deadline:
        time.sleep(0.01)
    number = next(line.rpartition(' ')[2] for line in lines if line.startswith(f'{job.name}: submitted as job'))
    subprocess.run(['scancel', '--signal=USR2', number], check=True)


def test_an_array_job_gives_the_records_of_this_process(
    node: dict[str, str], tmp_path: Path, small_and_quiet: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip('submitit', reason="needs submitit: pip install 'mmfas[cluster]'")
    data_root = tmp_path / 'tiny'
    render_dataset(data_root, Setting('tiny', 0))
    for job in make_jobs(tmp_path / 'here', data_root):
        do_job(job)
    for name in ('PATH', 'SLURM_CONF'):
        monkeypatch.setenv(name, node[name])
    monkeypatch.setenv('PYTHONPATH', str(REPO))
    monkeypatch.setattr(cluster, 'QUEUE_S', 1.0)
    jobs, lines = make_jobs(tmp_path / 'there', data_root), []
    thread = threading.Thread(target=preempt, args=(jobs[0], lines))
    thread.start()
    parameters = dict(partition='main', cpus_per_task=1, time=60)
    assert cluster.run_slurm(jobs, 2, parameters, report=lines.append) == [], lines
    thread.join()
    assert same(tmp_path / 'there') == same(tmp_path / 'here')
    numbers = [line.rpartition(' ')[2] for line in lines if 'submitted as job' in line]
    assert len({number.partition('_')[0] for number in numbers}) == 1, 'one array'
    assert 'resumed epoch: ' in (jobs[0].folder / 'log.txt').read_text(encoding='utf-8'), 'requeued and continued'
    assert [line.partition(' ')[0] for line in lines if ': p1_csw2p_s' in line] == ['[1/2]', '[2/2]']
    # a second call finds all done on the nodes, too
    assert cluster.run_slurm(jobs[:1], None, parameters, report=lines.append) == []
    assert lines[-1].endswith(': nothing left to do')


def test_launch_scripts_train_and_test(node: dict[str, str], tmp_path: Path) -> None:
    env = {**node, 'PYTHON': sys.executable, 'GPUS': '2', 'CPUS_PER_TASK': '1', 'OMP_NUM_THREADS': '1'}
    env['PYTHONPATH'] = str(REPO / 'tests' / 'test_engine')
    config, work_dir = str(REPO / 'tests' / 'test_engine' / 'tiny_config.py'), tmp_path / 'run'
    calls = [
        ['slurm_train.sh', 'main', 'train', config, '--work-dir', str(work_dir)],
        ['slurm_test.sh', 'main', 'test', config, str(work_dir / 'epoch_3.pth'), '--out', str(tmp_path / 'out')],
    ]
    for call in calls:
        more = ['--no-plots'] if 'test' in call else []
        command = ['bash', str(REPO / 'tools' / call[0]), *call[1:], *more]
        done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    scores = (tmp_path / 'out' / 'test.csv').read_text().splitlines()
    assert len(scores) == 1 + 14, 'both processes gave their half, padding was dropped'
    assert json.loads((tmp_path / 'out' / 'report.json').read_text())['reports'][0]['hter'] is not None
    alone = tmp_path / 'alone'
    command = [sys.executable, str(REPO / 'tools' / 'test.py'), *calls[1][3:5], '--out', str(alone), '--no-plots']
    subprocess.run(
        command, env={**env, 'PYTHONPATH': env['PYTHONPATH']}, cwd=tmp_path, check=True, capture_output=True
    )
    assert [line.rpartition(',')[0] for line in (alone / 'test.csv').read_text().splitlines()] == [
        line.rpartition(',')[0] for line in scores
    ]
    assert os.path.isfile(work_dir / 'epoch_3.pth')
