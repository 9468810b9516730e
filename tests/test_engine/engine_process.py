"""Run a command of mmfas in a process of its own, without paying for the imports each time."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path

from fork_server import warm_context

HERE = Path(__file__).parent
CONFIG = HERE / 'tiny_config.py'


def _run(module: str, argv: list[str], log: str, env: Mapping[str, str]) -> None:
    os.environ.update(env)
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    sys.path.insert(0, str(HERE))
    from importlib import import_module

    import torch

    torch.set_num_threads(1)
    code = import_module(module).main(argv)
    sys.stdout.flush()
    sys.exit(code)


def run_command(module: str, argv: list[object], log: Path, env: Mapping[str, str] | None = None) -> int:
    """Run `main(argv)` of a module; return its exit code, or minus the signal that ended it."""
    return _finish([_start(module, argv, log, env or {})], log)[0]


def run_ranks(module: str, argv: list[object], log: Path, num_ranks: int = 2) -> list[int]:
    """Run `main(argv)` as torchrun would, in several processes; return their exit codes."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    shared = dict(WORLD_SIZE=str(num_ranks), MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
    ranks = [
        _start(module, [*argv, '--launcher', 'pytorch'], log if not rank else log.with_suffix(f'.{rank}'), env)
        for rank in range(num_ranks)
        for env in [dict(shared, RANK=str(rank), LOCAL_RANK=str(rank))]
    ]
    return _finish(ranks, log)


def _start(module: str, argv: list[object], log: Path, env: Mapping[str, str]) -> BaseProcess:
    process = warm_context().Process(target=_run, args=(module, list(map(str, argv)), str(log), env))
    process.start()
    return process


def _finish(processes: list[BaseProcess], log: Path) -> list[int]:
    for process in processes:
        process.join(120)
    codes = [process.exitcode for process in processes]
    for process in processes:
        if process.exitcode is None:
            process.kill()
    assert None not in codes, f'did not end: {log.read_text()[-2000:]}'
    return codes


def write_config(tmp_path: Path, name: str, changes: str = '', base: Path = CONFIG) -> Path:
    """Write a config, by default the tiny one, with some lines changed."""
    path = tmp_path / f'{name}.py'
    path.write_text(f'_base_ = [{str(base)!r}]\n{changes}\n')
    return path


def train(
    tmp_path: Path, name: str, *options: object, changes: str = '', base: Path = CONFIG, expect: int = 0
) -> tuple[Path, str]:
    """Train a config, by default the tiny one, into `tmp_path/name`; return the work dir and what was printed."""
    work_dir, log = tmp_path / name, tmp_path / f'{name}.log'
    config = write_config(tmp_path, name, changes, base)
    code = run_command('mmfas.cli.train', [config, '--work-dir', work_dir, *options], log)
    text = log.read_text()
    assert code == expect, text[-3000:]
    return work_dir, text
