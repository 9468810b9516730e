"""What a user can mend ends a command with one message; a bug keeps its traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from torch.utils.data import DataLoader

from mmfas.cli.__main__ import main as mmfas
from mmfas.cli.errors import reports_user_errors, user_message
from mmfas.config.reading import ConfigError, read_config
from mmfas.structures.modality import check_modalities

CONFIG_COMMANDS = (
    'train',
    'test',
    'check',
    'print_config',
    'browse_dataset',
    'verify_dataset',
    'get_flops',
    'measure_speed',
    'measure_loading',
    'check_batch_independence',
    'measure_batch_leakage',
    'vis_experts',
    'vis_uncertainty',
    'vis_anchors',
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


def bug() -> object:
    """Fail as broken code does."""
    return int('x')


def caught(fail: Callable[[], object]) -> Exception:
    """Return what `fail` raises."""
    with pytest.raises(Exception) as info:  # noqa: PT011
        fail()
    return info.value


@pytest.mark.parametrize('num_workers', [0, 1])
def test_errors_of_mmfas_are_told_and_bugs_are_not(num_workers: int) -> None:
    def load(fail: Callable[[], object]) -> Callable[[], object]:
        loader = DataLoader(BrokenSamples(fail), num_workers=num_workers)
        return lambda: next(iter(loader))

    told = user_message(caught(load(wrong_modality)))
    assert told is not None
    assert told.startswith('ValueError: modalities must be one or more of')
    assert 'Traceback' not in told
    assert user_message(caught(load(bug))) is None


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    told = user_message(caught((tmp_path / 'gone.txt').read_text))
    assert told == f"FileNotFoundError: No such file or directory: '{tmp_path}/gone.txt'"


@pytest.mark.parametrize('name', CONFIG_COMMANDS)
def test_a_missing_config_is_one_line(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / 'none.py')
    assert mmfas([name, path, *(['x.pth'] if name in ('test', 'check_batch_independence') else [])]) == 2
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
        return reports_user_errors(3, on_interrupt='--resume continues')(lambda argv: fail() is None)([])

    def interrupt() -> object:
        raise KeyboardInterrupt

    def interrupt_mistaken_for_an_error() -> object:
        try:
            return interrupt()
        except:  # noqa: E722
            raise SyntaxError('failed to format') from None

    assert run(interrupt_mistaken_for_an_error) == 130
    assert run(interrupt) == 130
    assert '--resume continues' in capsys.readouterr().err
    assert run(wrong_modality) == 3
    with pytest.raises(ValueError, match='invalid literal'):
        run(bug)
    monkeypatch.setenv('MMFAS_TRACEBACK', '1')
    with pytest.raises(ValueError, match='modalities must be'):
        run(wrong_modality)


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
        (('get_flops', '--size', '0'), '--size takes one or two positive numbers of pixels, got 0'),
        (('measure_speed', '--size', '8', '8', '8'), '--size takes one or two positive numbers'),
        (('check_batch_independence', '--batch-sizes', '1', '0'), '--batch-sizes must be at least 1, got 1 0'),
        (('measure_loading', '--num', '0'), '--num and --rounds must be at least 1'),
        (('measure_speed', '--gradients', '--joint'), '--joint is of scoring and training steps'),
        (('measure_speed', '--device', 'cuda'), '--device cuda needs a GPU, and there is none'),
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
    assert mmfas([command, str(config), *options]) == 1
    assert message in capsys.readouterr().err
