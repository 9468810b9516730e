"""What a user can put right ends a command with one message, a stop with one line; a bug keeps its traceback."""

from __future__ import annotations

import errno
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from torch.utils.data import DataLoader

from mmfas.cli.__main__ import main as mmfas
from mmfas.cli.errors import reports_user_errors, user_message
from mmfas.config.reading import ConfigError, read_config
from mmfas.structures.modality import check_modalities
from mmfas.utils import errors
from mmfas.utils.errors import UnknownKeyError

CONFIG_COMMANDS = (
    'train',
    'test',
    'check',
    'print_config',
    'data browse',
    'data verify',
    'measure flops',
    'measure speed',
    'measure loading',
    'measure batch',
    'measure leakage',
    'vis experts',
    'vis uncertainty',
    'vis anchors',
    'vis cam',
    'vis tsne',
    'vis schedule',
)
BROKEN_CONFIGS = {
    'model = dict(\n': "line 1: '[(]' was never closed",
    "_base_ = './nowhere.py'\n": "it inherits or needs '.*nowhere.py', which does not exist",
    "_base_ = 'mmfas::baselines/nowhere.py'\n": 'nowhere.py" does not exist',
    "custom_imports = dict(imports=['nowhere.part'])\n": 'nowhere.* its folder must be on PYTHONPATH',
    'x = 1 / 0\n': 'ZeroDivisionError: division by zero',
}


class BrokenSamples:
    """A data set whose samples fail, by an error of mmfas or by a bug."""

    def __init__(self, fail: Callable[[], object]) -> None:
        self.fail = fail

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> object:
        return self.fail()


def wrong_modality() -> object:
    """Fail as mmfas does for users."""
    return check_modalities(('rgb', 'nir'))


def unknown_key() -> object:
    """Fail with the one builtin whose text is quoted, and over two lines."""
    raise UnknownKeyError("there is no part 'x'\nbut there is 'y'")


def full_disk() -> object:
    """Fail as the system does when a file cannot be written."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), 'out/scores.csv')


def bug() -> object:
    """Fail as broken code does."""
    return int('x')


def caught(fail: Callable[[], object]) -> Exception:
    """Return what `fail` raises."""
    with pytest.raises(Exception) as info:  # noqa: PT011
        fail()
    return info.value


FULL_DISK = (
    "OSError: No space left on device: 'out/scores.csv'; free some space or choose another folder, "
    'then run the command again'
)


@pytest.mark.parametrize('num_workers', [0, 1])
def test_errors_for_users_are_one_sentence_also_from_a_worker_and_bugs_are_not(num_workers: int) -> None:
    def message(fail: Callable[[], object]) -> str | None:
        batches = iter(DataLoader(BrokenSamples(fail), num_workers=num_workers))
        try:
            return user_message(caught(lambda: next(batches)))
        finally:
            if num_workers:  # the error holds the loader: else its worker is waited for when both are garbage
                batches._shutdown_workers()  # type: ignore[attr-defined]

    said = message(wrong_modality)
    assert said is not None
    assert said.startswith('InputError: modalities must be one or more of')
    assert 'Traceback' not in said
    assert message(unknown_key) == "UnknownKeyError: there is no part 'x'\nbut there is 'y'"
    assert message(full_disk) == FULL_DISK
    assert message(bug) is None


@pytest.mark.parametrize('name', ['InputError', 'UnknownKeyError', 'MissingFileError', 'MissingPackageError'])
def test_errors_for_users_survive_the_way_between_processes(name: str) -> None:
    error = getattr(errors, name)("the file 'x' is not there; make it")
    carried = pickle.loads(pickle.dumps(error))
    assert type(carried) is type(error)
    assert user_message(carried) == f"{name}: the file 'x' is not there; make it"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    said = user_message(caught((tmp_path / 'gone.txt').read_text))
    assert said == f"FileNotFoundError: No such file or directory: '{tmp_path}/gone.txt'; check the path"


@pytest.mark.parametrize(
    'name', ['ENOSPC', 'EDQUOT', 'EFBIG', 'EROFS', 'EACCES', 'EPERM', 'EIO', 'ESTALE', 'EMFILE', 'ENAMETOOLONG']
)
def test_errors_of_the_system_name_file_and_remedy_and_end_with_one(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    number = getattr(errno, name)

    def fail(argv: list[str] | None = None) -> int:
        raise OSError(number, os.strerror(number), '/data/x.pth')

    assert reports_user_errors(2)(fail)([]) == 1
    said = capsys.readouterr().err
    assert said.count('\n') == 1
    head, _, remedy = said.strip().partition('; ')
    assert head.endswith(f": {os.strerror(number)}: '/data/x.pth'")
    assert remedy


def test_an_error_of_the_system_without_file_or_remedy_is_a_sentence_too() -> None:
    assert user_message(OSError(errno.ENOSPC, 'No space left on device')).startswith('OSError: No space left on')
    assert user_message(OSError(errno.EXDEV, 'Invalid cross-device link', 'a')) == (
        "OSError: Invalid cross-device link: 'a'"
    )
    assert user_message(ConnectionResetError(errno.ECONNRESET, 'Connection reset by peer')) is None


def test_output_that_cannot_be_written_is_one_sentence() -> None:
    with open('/dev/full', 'w') as full:
        command = [sys.executable, '-m', 'mmfas', '--help']
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith('OSError: No space left on device; free some space')
    assert done.stderr.count('\n') == 1


@pytest.mark.parametrize('name', CONFIG_COMMANDS)
def test_a_missing_config_is_one_line(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / 'none.py')
    assert mmfas([*name.split(), path, *(['x.pth'] if name in ('test', 'measure batch') else [])]) == 2
    assert (
        capsys.readouterr().err
        == f"ConfigError: config '{path}' does not exist or is not a file; check the path\n"
    )


@pytest.mark.parametrize(('text', 'reason'), BROKEN_CONFIGS.items())
def test_a_broken_config_says_why(text: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / 'broken.py'
    path.write_text(text, encoding='utf-8')
    with pytest.raises(ConfigError, match=f"config '.*broken.py' cannot be read: .*{reason}"):
        read_config(str(path))


def test_an_option_that_does_not_fit_is_named(tmp_path: Path) -> None:
    path = tmp_path / 'config.py'
    path.write_text("model = dict(neck=dict(type='ConcatNeck'))\n", encoding='utf-8')
    assert read_config(str(path), {'model.neck.dim': 3}).model.neck.dim == 3
    with pytest.raises(ConfigError, match='--cfg-options model.neck.type.b=3: does not fit the config'):
        read_config(str(path), {'model.neck.type.b': 3})
    with pytest.raises(ConfigError, match='nothing reads data_root .*; set train_dataloader.dataset.data_root'):
        read_config(str(path), {'data_root': '/data'})


def test_interrupt_bug_and_wanted_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(fail: Callable[[], object]) -> int:
        return reports_user_errors(3, on_stop='--resume continues')(lambda argv: fail() is None)([])

    def interrupt() -> object:
        raise KeyboardInterrupt

    def interrupt_mistaken_for_an_error() -> object:
        try:
            return interrupt()
        except:  # noqa: E722
            raise SyntaxError('failed to format') from None

    assert run(interrupt_mistaken_for_an_error) == 130
    assert run(interrupt) == 130
    assert capsys.readouterr().err.endswith('\ninterrupted; --resume continues\n')
    assert run(wrong_modality) == 3
    with pytest.raises(ValueError, match='invalid literal'):
        run(bug)
    monkeypatch.setenv('MMFAS_TRACEBACK', '1')
    with pytest.raises(ValueError, match='modalities must be'):
        run(wrong_modality)


@pytest.mark.parametrize(
    ('number', 'status', 'word'), [(signal.SIGTERM, 143, 'terminated'), (signal.SIGHUP, 129, 'hung up')]
)
def test_signals_end_like_ctrl_c_and_leave_no_handler(
    number: int, status: int, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tidied = []

    def work(argv: list[str] | None = None) -> int:
        try:
            os.kill(os.getpid(), number)
            time.sleep(10)
        except KeyboardInterrupt:
            tidied.append(True)
            raise
        return 0

    before = signal.getsignal(number)
    assert reports_user_errors(on_stop='the same command continues')(work)([]) == status
    assert capsys.readouterr().err == f'\n{word}; the same command continues\n'
    assert tidied == [True]
    assert signal.getsignal(number) is before


def test_an_ignored_hangup_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert reports_user_errors()(lambda argv=None: os.kill(os.getpid(), signal.SIGHUP) or 0)([]) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def worker_ended(how: str) -> RuntimeError:
    """What torch raises, in the words of torch 2."""
    cause = RuntimeError(f'DataLoader worker (pid 77) is killed by signal: {how}. ')
    error = RuntimeError('DataLoader worker (pid(s) 77) exited unexpectedly')
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ('how', 'status', 'words'),
    [
        ('Terminated', 143, '\nterminated'),
        ('Hangup', 129, '\nhung up'),
        (
            'Killed',
            1,
            'RunError: a loader worker ended (Killed): probably the memory is used up: use fewer workers',
        ),
        ('Bus error', 1, 'RunError: a loader worker ended (Bus error): the shared memory (/dev/shm) is full'),
    ],
)
def test_what_ended_a_loader_worker_is_named(
    how: str, status: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(argv: list[str] | None = None) -> int:
        raise worker_ended(how)

    assert reports_user_errors()(work)([]) == status
    assert capsys.readouterr().err.startswith(words)


def test_children_that_end_after_a_stop_are_no_error() -> None:
    """Torch's handler raises for loader workers, which a scheduler stops, too."""

    def fail(number: int, frame: object) -> None:
        raise RuntimeError('a worker has ended')

    def work(argv: list[str] | None = None) -> int:
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGCHLD)
        return 0

    before = signal.signal(signal.SIGCHLD, fail)
    try:
        assert reports_user_errors()(work)([]) == 143
        with pytest.raises(RuntimeError, match='a worker has ended'):
            reports_user_errors()(lambda argv=None: signal.raise_signal(signal.SIGCHLD) or 0)([])
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_forked_workers_end_on_sigterm_as_ever() -> None:
    def work(argv: list[str] | None = None) -> int:
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.write(writing, b'1')
            time.sleep(30)
            os._exit(0)
        os.read(reading, 1)
        os.kill(child, signal.SIGTERM)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    assert reports_user_errors()(work)([]) == -signal.SIGTERM


@pytest.mark.parametrize('unbuffered', ['', '1'])
def test_a_reader_that_leaves_hears_nothing(unbuffered: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, '-m', 'mmfas', '--help'],
        stdout=writing,
        stderr=subprocess.PIPE,
        env={**os.environ, 'PYTHONUNBUFFERED': unbuffered},
        text=True,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, '')


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('measure speed', '--size', '8', '8', '8'), '--size takes one or two numbers of pixels, got 8 8 8'),
        (('measure speed', '--gradients', '--joint'), '--joint is of scoring and training steps'),
        (('measure speed', '--device', 'cuda'), '--device cuda needs a GPU, and there is none'),
    ],
)
def test_impossible_numbers_are_refused(
    arguments: tuple[str, ...],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    command, *options = arguments
    config = next((Path(__file__).parents[2] / 'configs' / 'baselines').glob('concat_mini-vit_*_rgb.py'))
    assert mmfas([*command.split(), str(config), *options]) == 1
    assert message in capsys.readouterr().err
