"""Commands that the pages show can be typed: command, options and config files are those that exist."""

from __future__ import annotations

import argparse
import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest

from mmfas.cli.__main__ import COMMANDS

REPO = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [
        *(REPO / 'docs').rglob('*.md'),
        *REPO.glob('*.md'),
        *(REPO / 'configs').rglob('README.md'),
        *(REPO / 'projects').rglob('README.md'),
    ]
)
#: `mmfas NAME` in a sentence.
NAMED = re.compile(r'`mmfas ([a-z]\w*)')
BLOCK = re.compile(r'^```bash\n(.*?)^```', re.MULTILINE | re.DOTALL)
MODULES = {name: module for name, module, _ in COMMANDS}
LEAST_COMMANDS, LEAST_NAMES = 50, 18


def shown_commands(page: Path) -> list[list[str]]:
    """Words of every `mmfas ...` and `bash ...` line of a page, without variables before them and comments."""
    lines = '\n'.join(BLOCK.findall(page.read_text(encoding='utf-8'))).replace('\\\n', ' ').splitlines()
    commands = []
    for line in lines:
        words = shlex.split(line, comments=True)
        while words and re.match(r'[A-Z_]+=', words[0]):
            words = words[1:]
        if words and words[0] in ('mmfas', 'bash'):
            commands.append(words)
    return commands


SHOWN = [(page, words) for page in PAGES for words in shown_commands(page)]


def test_commands_are_found() -> None:
    assert len(SHOWN) >= LEAST_COMMANDS
    assert len({words[1] for _, words in SHOWN if words[0] == 'mmfas'}) >= LEAST_NAMES


@pytest.mark.parametrize(
    ('page', 'words'), SHOWN, ids=[f'{page.relative_to(REPO)}: {" ".join(words)[:60]}' for page, words in SHOWN]
)
def test_a_shown_command_is_understood(page: Path, words: list[str]) -> None:
    if words[0] == 'bash':
        assert (REPO / words[1]).is_file(), f'{page} runs {words[1]}'
        return
    assert words[1] in MODULES, f'{page} names the command {words[1]}'
    parser = argparse.ArgumentParser(exit_on_error=False)
    import_module(MODULES[words[1]]).add_arguments(parser)
    # Ends the test with the message of the parser where it does not take the line.
    parser.parse_args(words[2:])
    missing = [word for word in words[2:] if word.startswith('configs/') and not any(REPO.glob(word))]
    assert not missing, f'{page} names {missing}'


@pytest.mark.parametrize('page', PAGES, ids=lambda page: str(page.relative_to(REPO)))
def test_commands_named_in_sentences_exist(page: Path) -> None:
    assert not set(NAMED.findall(page.read_text(encoding='utf-8'))) - set(MODULES)
