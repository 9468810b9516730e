"""What the page of features names can be typed, opened or imported; what is quick is run as it stands."""

from __future__ import annotations

import csv
import random
import re
import shlex
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest

from mmfas.cli.__main__ import main
from mmfas.cli.command import Parser
from mmfas.cli.commands import find_command, module_of

REPO = Path(__file__).resolve().parents[2]
ROW = re.compile(r'^\| (\d+) \| ([^|]+) \| ([^|]+) \| `([^`|]+)` \| (?:`([^`|]+)` )?\|$', re.MULTILINE)
ROWS = ROW.findall((REPO / 'docs' / 'en' / 'features.md').read_text(encoding='utf-8'))
NUM_SURVEYED, LEAST_PRESENT = 74, 60
#: Commands that take a moment once there are score files with the names of the page.
QUICK = re.compile(r'mmfas (scores (eval|ensemble|simulate|leaderboard)|list) ')
QUICK_ROWS = list(dict.fromkeys(command for *_, command in ROWS if QUICK.match(command)))
LEAST_QUICK = 16


def takes(module: str, arguments: list[str]) -> None:
    """Let the parser of a command take a line; `--help` shows that it has one."""
    parser = Parser(exit_on_error=False)
    import_module(module).add_arguments(parser)
    if arguments[-1:] != ['--help']:
        parser.parse_args(arguments)  # ends the test with the message of the parser


def resolve(command: str) -> None:
    """Resolve a command, a path or a dotted name; raise what says why it cannot be."""
    words = shlex.split(command)
    if words[0] == 'mmfas':
        name = find_command(words[1:])
        assert name, f'there is no command {command}'
        takes(module_of(name), words[1 + len(name.split()) :])
    elif words[:2] == ['python', '-m']:
        takes(f'{words[2]}.__main__', words[3:])
    elif words[0] == 'bash' or '/' in command or (REPO / command).exists():
        assert (REPO / words[-1]).exists(), f'{words[-1]} does not exist'
    else:
        module, _, attribute = command.rpartition('.')
        assert hasattr(import_module(module), attribute), f'{module} has no {attribute}'


def test_all_rows_of_the_survey_are_there_once() -> None:
    lines = (REPO / 'docs' / 'en' / 'features.md').read_text(encoding='utf-8').splitlines()
    assert len(ROWS) == sum(bool(re.match(r'\| \d', line)) for line in lines)
    numbers = [int(row[0]) for row in ROWS]
    assert numbers == list(range(1, len(ROWS) + 1)) and len(numbers) > NUM_SURVEYED
    assert Counter(state.partition(':')[0] for _, _, state, _, _ in ROWS)['present'] >= LEAST_PRESENT


@pytest.mark.parametrize(
    ('feature', 'state', 'where', 'command'), [row[1:] for row in ROWS], ids=[row[1] for row in ROWS]
)
def test_a_feature_is_where_the_page_says(feature: str, state: str, where: str, command: str) -> None:
    assert (REPO / where).exists(), f'{feature}: {where} does not exist'
    kind, _, missing = state.partition(': ')
    assert kind in ('present', 'partly', 'planned') and bool(missing) == (kind == 'partly')
    assert bool(command) == (kind != 'planned')
    if command:
        resolve(command)


def test_a_wrong_command_path_or_name_is_found() -> None:
    for wrong in ('mmfas scores guess', 'docs/en/none.md', 'mmfas.apis.NotThere'):
        with pytest.raises(AssertionError):
            resolve(wrong)


def write_scores(path: Path, *, seed: int, people: str, live: int = 24, attacks: int = 24) -> None:
    """Write a score file: two videos of a person; attacks score lower, with an overlap."""
    draw = random.Random(seed)
    with path.open('w', newline='', encoding='utf-8') as file:
        rows = csv.writer(file)
        rows.writerow(['sample_id', 'domain', 'subject', 'video', 'pai', 'label', 'score'])
        for number in range(live + attacks):
            label = int(number < live)
            pai = 'live' if label else ('print', 'replay')[number // 2 % 2]
            person, name = f'{people}{number // 4}', f'{people}_{number:02d}'
            score = min(max(draw.gauss(0.35 + 0.3 * label, 0.15), 0.0), 1.0)
            rows.writerow([f'{name}.png', 'X', person, f'{person}_{number // 2}', pai, label, f'{score:.6f}'])


@pytest.fixture
def score_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder to work in, with the score files that the page names."""
    for seed, name in enumerate(('TEST', 'A', 'B')):
        write_scores(tmp_path / f'{name}.csv', seed=seed, people='tested')
    for seed, name in enumerate(('DEV', 'A_DEV', 'B_DEV')):
        write_scores(tmp_path / f'{name}.csv', seed=seed + 10, people='dev')
    write_scores(tmp_path / 'SITE.csv', seed=20, people='site', attacks=0)
    lines = ''.join(f'tested{number},{"fm"[number % 2]}\n' for number in range(12))
    (tmp_path / 'PEOPLE.csv').write_text(f'subject,sex\n{lines}')
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize('command', QUICK_ROWS)
def test_what_is_quick_runs_as_the_page_says(
    command: str, score_files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(QUICK_ROWS) >= LEAST_QUICK
    words = shlex.split(command)
    assert main(words[1:]) == 0
    assert capsys.readouterr().out
    if '--out' in words:
        assert (score_files / words[words.index('--out') + 1]).is_file()


@pytest.mark.parametrize('page', ['README.md', 'docs/en/index.md'])
def test_the_page_is_linked(page: str) -> None:
    assert 'features' in (REPO / page).read_text(encoding='utf-8')
