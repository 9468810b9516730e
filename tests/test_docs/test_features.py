"""What the page of features names can be typed, opened or imported."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest

from mmfas.cli.command import Parser
from mmfas.cli.commands import find_command, module_of

REPO = Path(__file__).resolve().parents[2]
ROW = re.compile(r'^\| (\d+) \| ([^|]+) \| ([^|]+) \| `([^`|]+)` \| (?:`([^`|]+)` )?\|$', re.MULTILINE)
ROWS = ROW.findall((REPO / 'docs' / 'en' / 'features.md').read_text(encoding='utf-8'))
NUM_SURVEYED, LEAST_PRESENT = 74, 60


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


@pytest.mark.parametrize('page', ['README.md', 'docs/en/index.md'])
def test_the_page_is_linked(page: str) -> None:
    assert 'features' in (REPO / page).read_text(encoding='utf-8')
