"""What the scripts for several processes hand to their launchers; stand-ins of those note it down."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / 'tools'
SCRIPTS = ['dist_train.sh', 'dist_test.sh', 'slurm_train.sh', 'slurm_test.sh']
_STAND_IN = '#!/usr/bin/env bash\nprintf "%s\\n" "$PYTHONPATH" "$@" > "$NOTES"\nexit "${CODE:-0}"\n'


def _run(script: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    cleared = ('NNODES', 'NODE_RANK', 'MASTER_ADDR', 'PORT', 'GPUS', 'GPUS_PER_NODE', 'SRUN_ARGS', 'PYTHONPATH')
    env = {key: value for key, value in os.environ.items() if key not in cleared} | variables
    return subprocess.run(['bash', str(TOOLS / script), *arguments], env=env, capture_output=True, text=True)


class Launcher:
    """A program of this name that writes its search path and arguments to a file."""

    def __init__(self, folder: Path, name: str) -> None:
        self.notes = folder / 'notes'
        self.program = folder / 'bin' / name
        self.program.parent.mkdir()
        self.program.write_text(_STAND_IN)
        self.program.chmod(0o755)

    def run(self, script: str, *arguments: str, code: int = 0, **variables: str) -> list[str]:
        path = f'{self.program.parent}{os.pathsep}{os.environ["PATH"]}'
        done = _run(script, *arguments, PATH=path, NOTES=str(self.notes), CODE=str(code), **variables)
        assert done.returncode == code, done.stderr
        search_path, *told = self.notes.read_text().splitlines()
        assert search_path.split(os.pathsep)[0] == str(TOOLS.parent)
        return told


@pytest.fixture
def srun(tmp_path: Path) -> Launcher:
    return Launcher(tmp_path, 'srun')


@pytest.fixture
def python(tmp_path: Path) -> Launcher:
    return Launcher(tmp_path, 'python')


@pytest.mark.parametrize('script', SCRIPTS)
def test_scripts_say_how_they_are_used(script: str) -> None:
    done = _run(script)
    assert (done.returncode, done.stdout) == (2, '')
    usage, example = done.stderr.splitlines()
    stated = next(line for line in (TOOLS / script).read_text().splitlines() if line.startswith('# Usage: '))
    assert usage == f'usage: {TOOLS / script} ' + stated.partition(f'{script} ')[2]
    assert example.startswith('such as: ')
    # The example has as many words as are needed: with one fewer the usage comes again.
    words = example.partition(f'{script} ')[2].split()
    needed = usage.partition(' [options')[0].partition(f'{script} ')[2].split()
    assert len(words) >= len(needed)
    assert _run(script, *words[: len(needed) - 1]).returncode == 2


def test_slurm_train(srun: Launcher) -> None:
    told = srun.run(
        'slurm_train.sh', 'gpu', 'my run', 'a config.py', '--cfg-options', 'a=[1, 2]', PYTHON='my python'
    )
    assert told == [
        *('-p', 'gpu', '--job-name', 'my run', '--gres', 'gpu:8', '--ntasks', '8', '--ntasks-per-node', '8'),
        *('--cpus-per-task', '5', '--kill-on-bad-exit=1'),
        *('my python', '-u', str(TOOLS / 'train.py'), '--launcher', 'slurm'),
        *('a config.py', '--cfg-options', 'a=[1, 2]'),
    ]


def test_slurm_test_with_variables(srun: Launcher) -> None:
    variables = dict(GPUS='16', GPUS_PER_NODE='4', CPUS_PER_TASK='2', SRUN_ARGS='--qos high --exclusive')
    told = srun.run('slurm_test.sh', 'gpu', 'job', 'c.py', 'e.pth', '--no-plots', **variables)
    assert told[4:12] == ['--gres', 'gpu:4', '--ntasks', '16', '--ntasks-per-node', '4', '--cpus-per-task', '2']
    assert told[12:16] == ['--kill-on-bad-exit=1', '--qos', 'high', '--exclusive']
    assert told[16:] == [
        'python',
        '-u',
        str(TOOLS / 'test.py'),
        '--launcher',
        'slurm',
        'c.py',
        'e.pth',
        '--no-plots',
    ]


def test_slurm_takes_no_more_gpus_per_node_than_in_all(srun: Launcher) -> None:
    told = srun.run('slurm_train.sh', 'gpu', 'job', 'c.py', GPUS='2')
    assert told[4:10] == ['--gres', 'gpu:2', '--ntasks', '2', '--ntasks-per-node', '2']


@pytest.mark.parametrize('code', [0, 3])
def test_the_exit_code_is_that_of_the_launcher(srun: Launcher, code: int) -> None:
    srun.run('slurm_train.sh', 'gpu', 'job', 'c.py', code=code)


def test_dist_on_one_machine(python: Launcher) -> None:
    told = python.run('dist_train.sh', 'a config.py', '4', '--amp', PYTHONPATH='/mine')
    assert told == [
        *('-m', 'torch.distributed.run', '--nnodes', '1', '--node-rank', '0', '--nproc-per-node', '4'),
        *('--standalone', '--local-addr', '127.0.0.1'),
        *(str(TOOLS / 'train.py'), '--launcher', 'pytorch', 'a config.py', '--amp'),
    ]


@pytest.mark.parametrize(
    ('variables', 'address', 'port'),
    [({'PORT': '1234'}, '127.0.0.1', '1234'), ({'NNODES': '2', 'MASTER_ADDR': 'first'}, 'first', '29500')],
)
def test_dist_with_an_address(python: Launcher, variables: dict[str, str], address: str, port: str) -> None:
    told = python.run('dist_test.sh', 'c.py', 'e.pth', '2', NODE_RANK='1', **variables)
    assert told[2:6] == ['--nnodes', variables.get('NNODES', '1'), '--node-rank', '1']
    assert told[6:12] == ['--nproc-per-node', '2', '--master-addr', address, '--master-port', port]
    assert told[12:] == [str(TOOLS / 'test.py'), '--launcher', 'pytorch', 'c.py', 'e.pth']
