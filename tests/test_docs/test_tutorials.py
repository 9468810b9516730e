"""Tutorials run to their end, print what they show, and draw the pictures they show.

`MMFAS_TUTORIAL_SIZE=full` runs them at full size, where only the run itself is looked at.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
from pathlib import Path

import pytest

TUTORIALS = sorted((Path(__file__).resolve().parents[2] / 'docs' / 'en' / 'tutorials').glob('*.md'))
#: A block of code, and the output that is shown right below it.
STEP = re.compile(r'^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?', re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r'-?\d+(?:\.\d+)?')
#: How far the last digit of a shown number may be off on another processor.
TOLERANCE = 0.011


def run(page: Path) -> list[tuple[str, str]]:
    """Run the blocks of a tutorial in one namespace; return what they print beside what the page shows."""
    found = []
    space: dict[str, object] = {'__name__': '__main__'}
    for code, shown in STEP.findall(page.read_text(encoding='utf-8')):
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(code, page.name, 'exec'), space)
        found.append((printed.getvalue(), shown))
    return found


def assert_shown(printed: str, shown: str) -> None:
    """Compare words exactly, numbers up to their last digit."""
    assert NUMBER.sub('#', printed).split() == NUMBER.sub('#', shown).split()
    numbers = [[float(number) for number in NUMBER.findall(text)] for text in (printed, shown)]
    assert numbers[0] == pytest.approx(numbers[1], abs=TOLERANCE)


@pytest.mark.tutorial
@pytest.mark.engine
@pytest.mark.parametrize('page', TUTORIALS, ids=[page.stem for page in TUTORIALS])
def test_a_tutorial_prints_and_draws_what_it_shows(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outputs = run(page)
    assert sum(bool(shown) for _, shown in outputs) >= 3
    if os.environ.get('MMFAS_TUTORIAL_SIZE', 'tiny') == 'tiny':
        for printed, shown in outputs:
            assert_shown(printed, shown)
    pictures = re.findall(r'\]\((\.\./_static/tutorials/\w+\.png)\)', page.read_text(encoding='utf-8'))
    assert len(pictures) == len([*Path('pictures').glob('*.png')]) >= 1
    for picture in pictures:
        assert (page.parent / picture).stat().st_size < 40_000
