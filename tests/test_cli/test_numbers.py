"""Numbers of the command line: every option that takes one refuses what it cannot use, before anything starts."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import mmfas.cli
from mmfas.cli.__main__ import main
from mmfas.cli.command import parser_of
from mmfas.cli.numbers import number

CLI = Path(mmfas.cli.__file__).parent
PROJECTS = Path(__file__).parents[2] / 'projects'
CONFIG = 'configs/baselines/concat_mini-vit_1xb32-12e_synthfas-cps2w.py'


@pytest.mark.parametrize('value', ['-1', '1.5', 'nan', '', '٣.٥', '9' * 5000])
@pytest.mark.parametrize(
    ('words', 'option'),
    [
        ('measure speed', '--batch-size'),
        ('measure speed', '--warm-up'),
        ('measure speed', '--threads'),
        ('measure leakage', '--max-samples'),
        ('predict', '--max-frames'),
        ('data verify', '--show'),
        ('data render', '--num-processes'),
    ],
)
def test_counts(words: str, option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([*words.split(), CONFIG, f'{option}={value}'])
    error = capsys.readouterr().err
    assert end.value.code == 2
    assert f'argument {option}: must be an integer of at least ' in error
    assert len(error) < 5000


@pytest.mark.parametrize(
    ('words', 'option', 'message'),
    [
        ('measure batch', '--tolerance=nan', 'a finite number of at least 0'),
        ('measure batch', '--tolerance=-1', 'a finite number of at least 0'),
        ('measure speed', '--bound=0', 'a finite number above 0'),
        ('measure gpu', '--seconds=0', 'a finite number above 0'),
        ('scores ensemble', '--weights=inf', 'a finite number above 0'),
        ('vis tsne', '--perplexity=x', 'a finite number above 0'),
        ('serve', '--max-wait-ms=-1', 'a finite number of at least 0'),
        ('data crop', '--margin=-0.5', 'a finite number above -0.5 and of at most 5'),
        ('bundle', '--max-bpcer=1', 'a finite number of at least 0 and below 1'),
    ],
)
def test_numbers_with_a_fraction(
    words: str, option: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main([*words.split(), option])
    assert end.value.code == 2
    name, _, value = option.partition('=')
    assert f'argument {name}: must be {message}, got {value!r}\n' in capsys.readouterr().err


def test_ends_of_ranges() -> None:
    rate, part = number(least=0, below=1), number(above=0, most=1)
    assert [rate('0'), rate('.5'), part('1e-9'), part('1')] == [0, 0.5, 1e-9, 1]
    for read, text in (
        (rate, '1'),
        (rate, '-1e-9'),
        (part, '0'),
        (part, '1.1'),
        (number(), 'inf'),
        (number(), ''),
    ):
        with pytest.raises(argparse.ArgumentTypeError):
            read(text)


def options_of(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Options of a command and of its sub-commands."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield from options_of(child)
        yield action


MODULES = sorted(
    '.'.join(path.relative_to(CLI.parents[1]).with_suffix('').parts)
    for path in CLI.rglob('*.py')
    if 'def main(args' in path.read_text(encoding='utf-8')
)


@pytest.mark.parametrize('module', MODULES)
def test_no_option_takes_any_number(module: str) -> None:
    """A number without a range is refused late, or has no effect: `mmfas.cli.numbers` has readers with one."""
    options = [option for option in options_of(parser_of(module)) if option.help != argparse.SUPPRESS]
    assert [option.dest for option in options if option.type in (int, float) and not option.choices] == []


@pytest.mark.parametrize('name', sorted(path.parent.name for path in PROJECTS.glob('*/__main__.py')))
def test_no_option_of_a_project_takes_any_number(name: str) -> None:
    parser = argparse.ArgumentParser()
    importlib.import_module(f'projects.{name}.__main__').add_arguments(parser)
    assert [option.dest for option in options_of(parser) if option.type in (int, float)] == []


@pytest.mark.parametrize('value', ['x', 'cpu:x', 'meta', ''])
def test_devices(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(['measure', 'speed', CONFIG, f'--device={value}'])
    assert 'argument --device: ' in capsys.readouterr().err
