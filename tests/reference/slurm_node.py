"""A Slurm cluster of one node, this machine, with daemons of its own that end with the test."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

#: Programs of the Debian packages slurm-wlm and munge.
PROGRAMS = ('munged', 'slurmctld', 'slurmd', 'sbatch', 'srun', 'scontrol', 'squeue', 'scancel', 'sinfo')
_CONFIG = """
ClusterName=mmfas
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=2,requeue_delay=1
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
JobRequeue=1
KillWait=5
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} Gres=gpu:2 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """Say why there can be no cluster here; empty if there can."""
    path = f'{os.environ["PATH"]}:/usr/sbin:/sbin'
    lacking = [name for name in PROGRAMS if shutil.which(name, path=path) is None]
    if lacking:
        return f'no {", ".join(lacking)} here: apt-get install slurm-wlm munge'
    return '' if os.geteuid() == 0 else 'the daemons of Slurm need root'


@contextmanager
def slurm_node(folder: Path) -> Iterator[dict[str, str]]:
    """Start a cluster of this machine.

    Args:
        folder: New folder, with a short path: sockets lie in it.

    Yields:
        The environment in which its commands find it.
    """
    host = socket.gethostname().partition('.')[0]
    for name in ('state', 'spool'):
        (folder / name).mkdir()
    config = _CONFIG.format(host=host, folder=folder, ports=_free_ports(2), cpus=os.cpu_count())
    (folder / 'slurm.conf').write_text(config)
    # stand-ins: Slurm counts devices and tells jobs their numbers, it never opens them
    (folder / 'gres.conf').write_text('Name=gpu File=/dev/null\nName=gpu File=/dev/zero\n')
    key = folder / 'munge.key'
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)
    path = f'{os.environ["PATH"]}:/usr/sbin:/sbin'
    env = {**os.environ, 'PATH': path, 'SLURM_CONF': str(folder / 'slurm.conf')}
    munge = ['munged', '--foreground', '--force', f'--key-file={key}', f'--socket={folder}/munge.socket']
    munge += [f'--{name}-file={folder}/munge.{name}' for name in ('pid', 'log', 'seed')]
    with ExitStack() as stack:
        _start(stack, munge, env, folder, lambda: (folder / 'munge.socket').exists())
        _start(stack, ['slurmctld', '-D'], env, folder, lambda: _answers(['scontrol', 'ping'], env, 'UP'))
        _start(stack, ['slurmd', '-D', '-N', host], env, folder, lambda: _answers(['sinfo', '-h'], env, 'idle'))
        try:
            yield env
        finally:
            _end_jobs(env)


def _end_jobs(env: dict[str, str]) -> None:
    """Cancel what a failed test has left, while there are daemons that can."""
    subprocess.run(['scancel', '--me'], env=env, check=False)
    deadline = time.monotonic() + 30
    while _answers(['squeue', '--noheader', '--me'], env, ' ') and time.monotonic() < deadline:
        time.sleep(0.2)


def _free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    for one in sockets:
        one.bind(('127.0.0.1', 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _start(stack: ExitStack, call: list[str], env: dict[str, str], folder: Path, is_up: object) -> None:
    """Start a daemon, wait until it answers, and end it with the stack."""
    with open(folder / f'{call[0]}.out', 'w', encoding='utf-8') as out:
        process = subprocess.Popen(call, env=env, stdout=out, stderr=subprocess.STDOUT)
    stack.callback(process.wait, 20)
    stack.callback(process.terminate)
    deadline = time.monotonic() + 60
    while not is_up():  # type: ignore[operator]
        if process.poll() is not None or time.monotonic() > deadline:
            logs = '\n'.join(path.read_text(errors='replace')[-2000:] for path in folder.glob('*.[lo][ou][gt]'))
            raise RuntimeError(f'{call[0]} did not start:\n{logs}')
        time.sleep(0.2)


def _answers(call: list[str], env: dict[str, str], word: str) -> bool:
    return word in subprocess.run(call, env=env, capture_output=True, text=True).stdout
