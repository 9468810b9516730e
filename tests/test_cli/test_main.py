"""The command table: every command exists, explains itself, and is reached by name."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from mmfas.cli.__main__ import COMMANDS, main

REPO = Path(__file__).resolve().parents[2]
#: Modules of mmfas/cli that are no commands of their own, with the reason.
NO_COMMANDS = {
    '__init__': 'package',
    '__main__': 'the table itself',
    'conversion': 'shared by the commands that convert',
    'errors': 'shared by the commands',
    'options': 'shared by the commands',
    'progress': 'shared by the commands',
    'quickstart_report': 'the last step of tools/quickstart.sh',
}


def test_table_has_every_command() -> None:
    modules = {module.rpartition('.')[2] for _, module, _ in COMMANDS}
    files = {path.stem for path in (REPO / 'mmfas' / 'cli').glob('*.py')}
    assert files - set(NO_COMMANDS) == modules


def test_names_are_unique_and_explained() -> None:
    names = [name for name, _, _ in COMMANDS]
    assert len(names) == len(set(names)) >= 10
    assert all(text and not text.endswith('.') for _, _, text in COMMANDS)


@pytest.mark.parametrize('name', [name for name, _, _ in COMMANDS])
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([name, '--help'])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith(f'usage: mmfas {name} ')


@pytest.mark.parametrize('module', [module for _, module, _ in COMMANDS])
def test_every_command_has_the_two_functions(module: str) -> None:
    loaded = import_module(module)
    assert callable(loaded.add_arguments)
    assert callable(loaded.main)


def test_help_lists_all_and_unknown_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['--help']) == 0
    text = capsys.readouterr().out
    assert all(name in text for name, _, _ in COMMANDS)
    assert main(['chekc', 'x.py']) == 2
    assert "there is no command 'chekc'; did you mean check?" in capsys.readouterr().err
    assert main([]) == 2


def test_dashes_stand_for_underscores_and_version_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['--version']) == 0
    assert capsys.readouterr().out.startswith('mmfas ')
    with pytest.raises(SystemExit):
        main(['print-config', '--help'])
    assert 'print' in capsys.readouterr().out


@pytest.mark.parametrize('script', sorted((REPO / 'tools').rglob('*.py')), ids=lambda path: path.stem)
def test_wrappers_name_a_command(script: Path) -> None:
    code = script.read_text(encoding='utf-8')
    modules = {module for _, module, _ in COMMANDS} | {f'mmfas.cli.{name}' for name in NO_COMMANDS}
    assert any(f'from {module} import main' in code for module in modules)


def test_a_wrapper_runs_from_anywhere(tmp_path: Path) -> None:
    script = REPO / 'tools' / 'misc' / 'print_config.py'
    config = tmp_path / 'config.py'
    config.write_text('answer = 42\n')
    command = [sys.executable, str(script), str(config)]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 'answer = 42' in done.stdout
