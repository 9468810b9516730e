"""Tutorials run to their end, print what they show, and draw the pictures they show.

Python blocks run in one namespace; a block that begins with `# NAME.py` or `# NAME.yml` is a file and is written
instead. Commands of `bash` blocks run in this process, in turn; `  # status 1` says how one ends if not
with 0, and the comment of `export` has the values of the full size. `MMFAS_TUTORIAL_SIZE=full` runs pages at that
size, where only the run itself is looked at.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mmfas.cli.__main__ import main
from mmfas.registry import FUSION_NECKS, MODELS

TUTORIALS = sorted((Path(__file__).resolve().parents[2] / 'docs' / 'en' / 'tutorials').glob('*.md'))
IS_FULL = os.environ.get('MMFAS_TUTORIAL_SIZE', 'tiny') == 'full'
#: A block of code, and the output that is shown right below it.
STEP = re.compile(r'^```(python|yaml|bash)\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?', re.MULTILINE | re.DOTALL)
#: First line of a block that is a file.
FILE = re.compile(r'# (\w+\.\w+)\n')
#: Comment of a command that ends with another status than 0.
STATUS = re.compile(r'  # status (\d)$')
#: Command in the last block of a page that runs it at full size.
FULL_SIZE = 'MMFAS_TUTORIAL_SIZE=full python -m pytest -s tests/test_docs/test_tutorials.py'
NUMBER = re.compile(r'-?\d+(?:\.\d+)?')
#: How far the last digit of a shown number may be off on another processor.
TOLERANCE = 0.011


def run_python(code: str, page: Path, space: dict[str, object]) -> None:
    """Run a block, or write the file that it is."""
    if file := FILE.match(code):
        Path(file[1]).write_text(code, encoding='utf-8')
    else:
        exec(compile(code, page.name, 'exec'), space)


def run_pytest(words: list[str]) -> int:
    """Run tests that a page has written."""
    assert words[:2] == ['-m', 'pytest'], f'a tutorial cannot run: python {" ".join(words)}'
    return pytest.main(['-p', 'no:cacheprovider', *words[2:]])


def run_bash(code: str, setenv: Callable[[str, str], None]) -> None:
    """Do the lines of a block as a shell would; `assert` refuses what it could not."""
    for line in code.replace('\\\n', ' ').splitlines():
        if line.startswith('export '):
            tiny, _, full = line.removeprefix('export ').partition('  # full size: ')
            for word in (full if IS_FULL else tiny).split():
                setenv(*word.split('=', 1))
        elif FULL_SIZE not in line:
            wanted = STATUS.search(line)
            words = shlex.split(os.path.expandvars(line), comments=True)
            run_program = {'mmfas': main, 'python': run_pytest}[words[0]]
            status = run_program(words[1:])
            assert status == (int(wanted[1]) if wanted else 0), f'status {status}: {line}'


def run(page: Path, setenv: Callable[[str, str], None]) -> int:
    """Run the blocks of a tutorial and compare what they print; return how many outputs the page shows."""
    num_shown = 0
    space: dict[str, object] = {'__name__': '__main__'}
    for kind, code, shown in STEP.findall(page.read_text(encoding='utf-8')):
        printed = io.StringIO()
        try:
            with contextlib.redirect_stdout(printed):
                run_bash(code, setenv) if kind == 'bash' else run_python(code, page, space)
        finally:
            sys.stdout.write(printed.getvalue())
        num_shown += bool(shown)
        if shown and not IS_FULL:
            assert_shown(printed.getvalue(), shown)
    return num_shown


def assert_shown(printed: str, shown: str) -> None:
    """Compare words exactly, numbers up to their last digit."""
    assert NUMBER.sub('#', printed).split() == NUMBER.sub('#', shown).split()
    numbers = [[float(number) for number in NUMBER.findall(text)] for text in (printed, shown)]
    assert numbers[0] == pytest.approx(numbers[1], abs=TOLERANCE)


@pytest.fixture(scope='session')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the folder in which all pages keep their data: what one has rendered, the next finds."""
    return tmp_path_factory.mktemp('data')


@pytest.fixture(autouse=True)
def _forget_parts_of_pages(tmp_path: Path) -> Iterator[None]:
    """Forget the modules that a page writes, and what they register."""
    yield
    files = {name: getattr(module, '__file__', None) or '/' for name, module in sys.modules.items()}
    gone = {name for name, file in files.items() if Path(file).is_relative_to(tmp_path)}
    for known in (MODELS._module_dict, FUSION_NECKS.module_dict):
        for name in [name for name, part in known.items() if part.__module__ in gone]:
            del known[name]
    for name in gone:
        del sys.modules[name]


@pytest.mark.tutorial
@pytest.mark.engine
@pytest.mark.slow(25)
@pytest.mark.parametrize('page', TUTORIALS, ids=[page.stem for page in TUTORIALS])
def test_a_tutorial_prints_and_draws_what_it_shows(
    page: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path('data').symlink_to(data)
    assert run(page, monkeypatch.setenv) >= 3
    pictures = re.findall(r'\]\(\.\./_static/tutorials/(\w+\.png)\)', page.read_text(encoding='utf-8'))
    assert len(pictures) == len([*Path('pictures').glob('*.png')]) >= 1
    for picture in pictures:
        assert (page.parent.parent / '_static' / 'tutorials' / picture).stat().st_size < 60_000
