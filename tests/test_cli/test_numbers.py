"""Numbers of the command line: every option that takes one refuses what it cannot use, before anything starts."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import pytest

import mmfas.cli
from mmfas.cli.__main__ import main
from mmfas.cli.command import parser_of

CLI = Path(mmfas.cli.__file__).parent
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
def test_no_option_takes_any_integer(module: str) -> None:
    """An integer without a range is refused late, or has no effect: `mmfas.cli.numbers` has readers with one."""
    options = [option for option in options_of(parser_of(module)) if option.help != argparse.SUPPRESS]
    assert [option.dest for option in options if option.type is int and not option.choices] == []


@pytest.mark.parametrize('value', ['x', 'cpu:x', 'meta', ''])
def test_devices(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(['measure', 'speed', CONFIG, f'--device={value}'])
    assert 'argument --device: ' in capsys.readouterr().err
