"""MIM lists mmfas, finds its models and starts its programs with the right arguments."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmfas.apis.model_index import list_models
from mmfas.cli.command import parser_of

REPO = Path(__file__).resolve().parents[2]
NAME = 'concat_mini-vit_1xb32-12e_synthfas-cps2w'

commands = pytest.importorskip('mim.commands', reason='onedl-mim is missing: pip install onedl-mim')
utils = pytest.importorskip('mim.utils', reason='onedl-mim is missing: pip install onedl-mim')
pytestmark = pytest.mark.engine


@pytest.fixture(autouse=True)
def only_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the build's notes in the checkout, which MIM would take for the installed package."""
    monkeypatch.setattr(sys, 'path', [place for place in sys.path if Path(place).resolve() != REPO])


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Collect what MIM would start; nothing is started."""
    found: list[list[str]] = []

    def check_call(command: list[str], **_: Any) -> int:
        found.append(command)
        return 0

    def check_output(command: list[str], **_: Any) -> bytes:
        return parser_of('mmfas.cli.train').format_help().encode()

    # As from a wheel; in an editable install MIM finds a bare name twice, in the checkout and through the link.
    for name in ('train', 'test', 'run'):
        monkeypatch.setattr(
            sys.modules[f'mim.commands.{name}'], 'get_installed_path', lambda _: str(REPO / 'mmfas')
        )
    monkeypatch.setattr(subprocess, 'check_call', check_call)
    monkeypatch.setattr(subprocess, 'check_output', check_output)
    return found


def test_mmfas_is_listed() -> None:
    assert 'mmfas' in {row[0] for row in commands.list_package()}


def test_every_model_is_found_with_its_size() -> None:
    found = commands.get_model_info('mmfas', shown_fields=['flops', 'parameters', 'hter'])
    assert sorted(found.index) == list_models()
    assert found.loc[NAME, 'parameters'] == 1294850
    assert found.loc[NAME, 'synthfas p1 cps to w/hter'] == 29.4
    assert (found['flops'] > 0).all()


@pytest.mark.parametrize(
    ('call', 'module', 'options'),
    [
        (lambda: commands.train('mmfas', f'{NAME}.py', 0, other_args=('--steps', '1')), 'train', dict(steps=1)),
        (lambda: commands.test('mmfas', f'{NAME}.py', 'last.pth'), 'test', dict(checkpoint='last.pth')),
    ],
    ids=['train', 'test'],
)
def test_train_and_test_resolve(
    call: Callable[[], Any], module: str, options: dict[str, Any], started: list[list[str]]
) -> None:
    assert call()[0]
    ((_, script, *arguments),) = started
    assert Path(script).resolve() == REPO / 'tools' / f'{module}.py'
    parsed = vars(parser_of(f'mmfas.cli.{module}').parse_args(arguments))
    assert Path(parsed['config']).resolve() == REPO / 'configs' / 'baselines' / f'{NAME}.py'
    assert {key: parsed[key] for key in options} == options


def test_other_programs_run(started: list[list[str]]) -> None:
    assert commands.run('mmfas', 'leaderboard', other_args=('--help',))[0]
    ((_, script, *arguments),) = started
    assert Path(script).resolve() == REPO / 'tools' / 'misc' / 'leaderboard.py'
    assert arguments == ['--help']


@pytest.mark.parametrize(('program', 'taken_for_it'), [(True, '..'), (False, 'some_pack-1.0.dist-info')])
def test_mim_does_not_find_an_installed_wheel_of_this_kind(
    program: bool, taken_for_it: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MIM takes the folder of the first file in the list that installers sort; the page says so."""
    site = tmp_path / 'lib' / 'python' / 'site-packages'
    names = ['some_pack-1.0.dist-info/METADATA', 'some_pack/__init__.py', *['../../../bin/some-pack'] * program]
    for name in names:  # only files that are there are listed
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).touch()
    (site / names[0]).write_text('Metadata-Version: 2.1\nName: some-pack\nVersion: 1.0\n')
    (site / names[0]).with_name('RECORD').write_text(''.join(f'{name},,\n' for name in sorted(names)))
    monkeypatch.setattr(sys, 'path', [str(site), *sys.path])
    assert Path(utils.get_installed_path('some-pack')) == site / taken_for_it
