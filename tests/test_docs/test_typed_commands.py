"""Commands that the pages show can be typed: command, options and config files are those that exist."""

from __future__ import annotations

import re
import shlex
from importlib import import_module
from pathlib import Path
from string import Template

import pytest

from mmfas.cli.command import Parser
from mmfas.cli.commands import TOP, find_command, module_of

REPO = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [
        *(REPO / 'docs' / 'en').rglob('*.md'),  # the Chinese twins have the same blocks, see test_twins.py
        *REPO.glob('*.md'),
        *(REPO / 'configs').rglob('README.md'),
        *(REPO / 'projects').rglob('README.md'),
    ]
)
#: `mmfas NAME NAME` in a sentence.
NAMED = re.compile(r'`mmfas ([a-z]\w*)(?: ([a-z]\w*))?')
BLOCK = re.compile(r'^```bash\n(.*?)^```', re.MULTILINE | re.DOTALL)
LEAST_COMMANDS, LEAST_NAMES = 50, 16
#: `python -m projects.NAME ...`
STUDY = ['python', '-m']


def shown_commands(page: Path) -> list[list[str]]:
    """Words of every line of `mmfas`, `bash` or `python -m`, without variables before them and comments."""
    lines = '\n'.join(BLOCK.findall(page.read_text(encoding='utf-8'))).replace('\\\n', ' ').splitlines()
    commands, variables = [], {}
    for line in lines:
        words = shlex.split(Template(line).safe_substitute(variables), comments=True)
        if words[:1] == ['export']:
            variables.update(word.split('=', 1) for word in words[1:])
        while words and re.match(r'[A-Z_]+=', words[0]):
            words = words[1:]
        if words and (words[0] in ('mmfas', 'bash') or words[:2] == STUDY):
            commands.append(words)
    return commands


def resolve(words: list[str]) -> tuple[str, list[str]]:
    """Return the module of a typed command and its arguments; `assert` names a command that does not exist."""
    if words[:2] == STUDY:
        return f'{words[2]}.__main__', words[3:]
    name = find_command(words[1:])
    assert name, f'there is no command {" ".join(words[:3])}'
    return module_of(name), words[1 + len(name.split()) :]


SHOWN = [(page, words) for page in PAGES for words in shown_commands(page)]


def test_commands_are_found() -> None:
    assert len(SHOWN) >= LEAST_COMMANDS
    assert len({find_command(words[1:]) for _, words in SHOWN if words[0] == 'mmfas'}) >= LEAST_NAMES


@pytest.mark.parametrize(
    ('page', 'words'), SHOWN, ids=[f'{page.relative_to(REPO)}: {" ".join(words)[:60]}' for page, words in SHOWN]
)
def test_a_shown_command_is_understood(page: Path, words: list[str]) -> None:
    if words[0] == 'bash':
        assert (REPO / words[1]).is_file(), f'{page} runs {words[1]}'
        return
    if words[:2] == STUDY and not words[2].startswith('projects.'):
        return
    module, arguments = resolve(words)
    parser = Parser(exit_on_error=False)
    import_module(module).add_arguments(parser)
    # Ends the test with the message of the parser where it does not take the line.
    parser.parse_args(arguments)
    missing = [word for word in arguments if word.startswith('configs/') and not any(REPO.glob(word))]
    assert not missing, f'{page} names {missing}'


@pytest.mark.parametrize('page', PAGES, ids=lambda page: str(page.relative_to(REPO)))
def test_commands_named_in_sentences_exist(page: Path) -> None:
    named = NAMED.findall(page.read_text(encoding='utf-8'))
    assert not [pair for pair in named if not find_command(pair) and not (pair[0] in TOP and not pair[1])]
