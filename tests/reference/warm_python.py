"""An interpreter that has torch and the engine imported already, for tests that start whole programs.

A program of mmfas imports for several seconds before it works. `warm_python()` is a stand-in for `sys.executable`
whose programs are forked from one server that has imported everything: they have arguments, folder, environment,
streams and a status of their own, and die when the stand-in is killed. What a test says of the start itself, of
imports or of the interpreter needs `sys.executable`.
"""

from __future__ import annotations

import functools
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from multiprocessing.util import _exit_function as end_children
from pathlib import Path
from typing import Any

from fork_server import search_path

#: Sends what a program needs to the server and waits for its status; started without site, it costs 20 ms.
_CLIENT = """#!{python} -IS
import array, json, os, signal, socket, sys
connection = socket.socket(socket.AF_UNIX)
connection.connect({address!r})
program = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
streams = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [0, 1, 2]))]
connection.sendmsg([len(program).to_bytes(8, 'big')], streams)
connection.sendall(program)
answers = connection.makefile('r')
pid = int(answers.readline())
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
    signal.signal(number, lambda number, frame: os.kill(pid, number))
status = answers.readline()
os._exit(int(status) if status else 137)
"""


@functools.cache
def warm_python() -> str:
    """Return the path of the stand-in; the server starts with the first call and ends with this process."""
    folder = tempfile.TemporaryDirectory(prefix='warm_python_')
    client, address = Path(folder.name) / 'python', str(Path(folder.name) / 'socket')
    client.write_text(_CLIENT.format(python=sys.executable, address=address))
    client.chmod(0o755)
    env = {**os.environ, 'PYTHONPATH': search_path(), 'OMP_NUM_THREADS': '1'}
    command = [sys.executable, __file__, address]
    server = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None and server.stdout.readline() == 'ready\n'
    warm_python.server = folder, server  # type: ignore[attr-defined]  # until this process ends: then its input ends, too
    return str(client)


def _serve(address: str) -> None:
    """Fork a process for every program that is asked for, until the tests have ended."""
    import warm  # noqa: F401  # everything that takes long

    threading.Thread(target=lambda: os._exit(len(os.read(0, 1))), daemon=True).start()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them here
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen()
    print('ready', flush=True)
    while True:
        connection, _ = listener.accept()
        if not os.fork():
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os._exit(_answer(connection))
        connection.close()


def _answer(connection: socket.socket) -> int:
    """Run one program."""
    head, streams, _, _ = socket.recv_fds(connection, 8, 3)
    body = connection.makefile('rb').read(int.from_bytes(head, 'big'))
    argv, folder, environment = json.loads(body)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    connection.sendall(f'{os.getpid()}\n'.encode())
    threading.Thread(target=_die_with, args=(connection,), daemon=True).start()
    status = _status_of(argv)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    connection.sendall(f'{status}\n'.encode())
    return status


def _die_with(connection: socket.socket) -> None:
    """End as the stand-in does that was killed: nothing else ends the connection."""
    if not connection.recv(1):
        os.kill(os.getpid(), signal.SIGKILL)


def _status_of(argv: list[str]) -> int:
    """Run what the arguments of an interpreter name; return its exit status."""
    try:
        _run(argv)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return int(end.code or 0)
        print(end.code, file=sys.stderr)
        return 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    finally:
        end_children()
    return 0


def _run(argv: list[str]) -> None:
    found = [path for path in os.environ.get('PYTHONPATH', '').split(os.pathsep) if path]
    first, *rest = argv = argv[argv[:1] == ['-u'] :]  # torchrun asks for streams without buffers
    space: dict[str, Any] = {'__name__': '__main__'}
    if first == '-m':
        sys.argv, sys.path[:1] = rest, [os.getcwd(), *found]
        runpy.run_module(rest[0], run_name='__main__', alter_sys=True)
    elif first == '-c':
        sys.argv, sys.path[:1] = ['-c', *rest[1:]], [os.getcwd(), *found]
        exec(compile(rest[0], '<string>', 'exec'), space)
    else:
        sys.argv, sys.path[:1] = argv, [os.path.dirname(os.path.abspath(first)), *found]
        runpy.run_path(first, run_name='__main__')


if __name__ == '__main__':
    _serve(sys.argv[1])
