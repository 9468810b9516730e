"""The table of commands: every command exists, explains itself, and is reached by its name of today and before."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from mmfas.cli.__main__ import main
from mmfas.cli.command import parser_of
from mmfas.cli.commands import COMMANDS, MOVED_TO_PROJECTS, OLD_NAMES, SECTIONS, TOP, find_command, module_of
from mmfas.cli.data.convert import DATA_SETS
from mmfas.cli.weights.convert import METHODS, TRUNKS

REPO = Path(__file__).resolve().parents[2]
CLI = REPO / 'mmfas' / 'cli'
#: Modules of mmfas/cli that are not commands of their own, with the reason.
NO_COMMANDS = {
    '__main__': 'finds the command',
    'command': 'what every command is made of',
    'commands': 'the table itself',
    'configs': 'shared by the commands that build a model',
    'errors': 'shared by the commands',
    'numbers': 'shared by the commands',
    'options': 'shared by the commands',
    'progress': 'shared by the commands',
    'site': 'shared by the commands that set thresholds on live videos of a site',
    'score_inputs': 'shared by the commands that judge score files',
    'quickstart_report': 'the last step of tools/quickstart.sh',
}
#: What a process may import for help and completion: nothing of these.
HEAVY = ('torch', 'mmengine', 'numpy', 'cv2', 'mmcv', 'matplotlib')


def test_table_has_every_command_and_every_file_is_one() -> None:
    files = {path.relative_to(CLI).with_suffix('') for path in CLI.rglob('*.py') if path.name != '__init__.py'}
    found = {' '.join(path.parts) for path in files}
    assert found - set(NO_COMMANDS) == set(COMMANDS)
    assert len(COMMANDS) >= 20
    assert len(TOP) <= 16


def test_every_command_is_explained() -> None:
    assert all(text and not text.endswith('.') for text in COMMANDS.values())
    assert sum(map(len, SECTIONS.values())) == len(TOP)


@pytest.mark.parametrize('name', COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*name.split(), '--help'])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith(f'usage: mmfas {name} ')


@pytest.mark.parametrize('name', COMMANDS)
def test_every_command_has_the_two_functions(name: str) -> None:
    loaded = import_module(module_of(name))
    assert callable(loaded.add_arguments)
    assert callable(loaded.main)


def test_help_lists_every_first_word_and_a_group_its_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['--help']) == 0
    text = capsys.readouterr().out
    assert all(f'\n  {name} ' in text for name in TOP)
    assert all(f'\n{title}:\n' in text for title in SECTIONS)
    assert main([]) == 2
    capsys.readouterr()
    assert main(['data', '--help']) == 0
    text = capsys.readouterr().out
    words = [name.split()[1] for name in COMMANDS if name.startswith('data ')]
    assert all(f'\n  {word} ' in text for word in words)
    assert main(['data']) == 2
    assert capsys.readouterr().out == text


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['chekc', 'x.py'], "mmfas: there is no command 'chekc'; did you mean check?"),
        (['dta'], "mmfas: there is no command 'dta'; did you mean data?"),
        (['data', 'verfy'], "mmfas data: there is no command 'verfy'; did you mean data verify?"),
        (['data', 'sped'], "mmfas data: there is no command 'sped'; did you mean measure speed?"),
        (['convert'], 'did you mean data convert or weights convert?'),
        (['eval-score'], 'did you mean scores eval?'),
        (
            ['scores', 'zzz'],
            "there is no command 'zzz'; known: eval, plot, report, ensemble, simulate, pool, leaderboard",
        ),
    ],
)
def test_unknown_names_are_answered_with_the_nearest(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ''


@pytest.mark.parametrize(
    ('words', 'hint'),
    [
        (['data', 'convert', 'cfea', 'a', 'b'], 'did you mean cefa?'),
        (['weights', 'convert', 'hf-clp', 'a', 'b'], 'did you mean hf_clip?'),
        (['benchmark', 'rnu'], 'did you mean run?'),
        (['scores', 'eval', 'a.csv', '--level', 'vidoe'], 'did you mean video?'),
    ],
)
def test_choices_of_a_command_have_near_matches_too(
    words: list[str], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert hint in capsys.readouterr().err


def test_dashes_stand_for_underscores_at_every_level(capsys: pytest.CaptureFixture[str]) -> None:
    assert find_command(['print-config']) == 'print_config'
    args = parser_of('mmfas.cli.data.convert').parse_args(['casia-surf', 'a', 'b'])
    assert args.source == 'a'
    args = parser_of('mmfas.cli.weights.convert').parse_args(['released-big-moe', 'a', 'b', '--reverse'])
    assert args.reverse
    with pytest.raises(SystemExit):
        main(['data', 'convert', 'casia-surf', '--help'])
    assert capsys.readouterr().out.startswith('usage: mmfas data convert casia_surf ')


def test_version_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['--version']) == 0
    assert capsys.readouterr().out.startswith('mmfas ')


def test_old_names_say_the_new_one_and_run_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['leaderboard', str(tmp_path / 'old.md')]) == 0
    said = 'mmfas leaderboard is now `mmfas scores leaderboard`; the old name works until version 0.2\n'
    assert capsys.readouterr().err == said
    assert main(['scores', 'leaderboard', str(tmp_path / 'new.md')]) == 0
    assert capsys.readouterr().err == ''
    assert (tmp_path / 'old.md').read_bytes() == (tmp_path / 'new.md').read_bytes()


@pytest.mark.parametrize(('old', 'new'), OLD_NAMES.items())
def test_old_names_end_at_a_command(old: str, new: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([old.replace('_', '-'), '--help'])
    assert caught.value.code == 0
    captured = capsys.readouterr()
    assert captured.out.startswith(f'usage: mmfas {new} ')
    assert captured.err.count('\n') == 1


def test_all_names_of_version_0_1_are_known() -> None:
    kept = {'train', 'test', 'benchmark', 'check', 'list', 'print_config'}
    assert kept <= set(COMMANDS)
    assert len(kept | set(OLD_NAMES) | set(MOVED_TO_PROJECTS)) == 37


@pytest.mark.parametrize(('name', 'project'), MOVED_TO_PROJECTS.items())
def test_studies_say_where_they_are(name: str, project: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, '--help']) == 2
    assert f'`python -m projects.{project}`' in capsys.readouterr().err
    assert (REPO / 'projects' / project / '__main__.py').is_file()


@pytest.mark.parametrize('script', sorted((REPO / 'tools').rglob('*.py')), ids=lambda path: path.stem)
def test_wrappers_name_a_command(script: Path) -> None:
    code = script.read_text(encoding='utf-8')
    modules = {module_of(name) for name in (*COMMANDS, 'quickstart_report')}
    assert any(f'from {module} import main' in code for module in modules)


@pytest.mark.parametrize('name', [*DATA_SETS, *METHODS])
def test_wrappers_of_a_converter_name_its_source(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = next((REPO / 'tools').rglob(f'{name}*.py'))
    monkeypatch.setattr(sys, 'argv', [str(script), '--help'])
    with pytest.raises(SystemExit):
        runpy.run_path(str(script), run_name='__main__')
    assert f'convert {name} ' in capsys.readouterr().out


def test_a_wrapper_runs_from_anywhere(tmp_path: Path) -> None:
    script = REPO / 'tools' / 'misc' / 'print_config.py'
    config = tmp_path / 'config.py'
    config.write_text('answer = 42\n')
    command = [sys.executable, str(script), str(config)]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 'answer = 42' in done.stdout


def imported(stderr: str) -> set[str]:
    """First names of the modules that `python -X importtime` lists."""
    lines = (line.rpartition('|')[2].strip() for line in stderr.splitlines() if line.startswith('import time:'))
    return {name.partition('.')[0] for name in lines}


def test_help_imports_nothing_heavy() -> None:
    """Counting modules holds on any machine; what is left takes about a tenth of a second."""
    command = [sys.executable, '-X', 'importtime', '-m', 'mmfas', '--help']
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert 'usage: mmfas' in done.stdout
    assert not imported(done.stderr) & set(HEAVY)
    ours = [line for line in done.stderr.splitlines() if '| ' in line and 'mmfas.' in line.rpartition('|')[2]]
    assert 3 <= len(ours) <= 14


def test_parsers_of_all_commands_need_no_torch() -> None:
    code = (
        'import sys; from mmfas.cli.command import parser_of; from mmfas.cli.commands import COMMANDS, module_of; '
        'print(*(name for name in COMMANDS if parser_of(module_of(name)) and "torch" in sys.modules))'
    )
    out = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == ''


def complete(line: str, answers: Path) -> tuple[set[str], set[str]]:
    """Ask as a shell does; return what the line can go on with, and the modules that were imported."""
    shell = {
        '_ARGCOMPLETE': '1',
        '_ARGCOMPLETE_STDOUT_FILENAME': str(answers),
        '_ARGCOMPLETE_IFS': '\n',
        'COMP_LINE': line,
        'COMP_POINT': str(len(line)),
    }
    command = [sys.executable, '-X', 'importtime', '-m', 'mmfas']
    done = subprocess.run(command, env={**os.environ, **shell}, capture_output=True, text=True, cwd=answers.parent)
    return {text.strip() for text in answers.read_text().split('\n')} - {''}, imported(done.stderr)


@pytest.mark.parametrize(
    ('line', 'among'),
    [
        ('mmfas d', {'data'}),
        ('mmfas measure l', {'loading', 'leakage'}),
        ('mmfas train --cfg', {'--cfg-options'}),
        ('mmfas data convert ', set(DATA_SETS)),
        ('mmfas weights convert o', {name for name in TRUNKS if name.startswith('o')}),
        ('mmfas print-config ', {'my_config.py'}),
        ('mmfas scores eval x.csv --level ', {'frame', 'video', 'subject'}),
    ],
)
def test_the_shell_completes_without_torch(line: str, among: set[str], tmp_path: Path) -> None:
    pytest.importorskip('argcomplete')
    (tmp_path / 'my_config.py').touch()
    found, modules = complete(line, tmp_path / 'answers')
    assert among <= found
    assert not modules & {'torch', 'mmengine', 'mmcv'}
