"""`--cfg-options`: what mmengine reads alike, spaces kept, slips refused."""

from __future__ import annotations

import argparse
from typing import Any

import pytest
from mmengine.config import DictAction

from mmfas.cli.options import ConfigOptions


def parse(action: type[argparse.Action], *items: str) -> Any:
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=action)
    return parser.parse_args(['--cfg-options', *items]).cfg_options


@pytest.mark.parametrize(
    'text',
    ['a=1', 'a.b=1e-4', 'a=True', 'a=None', 'a=x/y', 'a=1,2', 'a=[(1,2),[x,y]]', "a=['x','y']", 'a=[1, 2]', 'a='],
)
def test_reads_as_mmengine_does(text: str) -> None:
    assert parse(ConfigOptions, text, 'c=3') == parse(DictAction, text, 'c=3')


def test_spaces_are_kept() -> None:
    expected = {'root': "/my data/it's", 'lists': ['a b.txt', 'c.txt']}
    assert parse(ConfigOptions, "root=/my data/it's", "lists=['a b.txt', 'c.txt']") == expected


@pytest.mark.parametrize(
    ('item', 'message'),
    [('lr', "'lr' is not key=value"), ('=3', "'=3' is not"), ('a=[1,2', 'a: brackets do not match')],
)
def test_slips_are_refused(item: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(ConfigOptions, item)
    assert message in capsys.readouterr().err
