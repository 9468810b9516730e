"""What the documentation says is true: its paths exist, its code runs, its pages are found."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
PAGES = sorted((REPO / 'docs').rglob('*.md')) + [REPO / 'README.md', REPO / 'CONTRIBUTING.md']
MAPS = [REPO / 'README.md', REPO / 'docs' / 'en' / 'architecture.md', REPO / 'CONTRIBUTING.md']
BLOCK = re.compile(r'^```python\n(.*?)^```', re.MULTILINE | re.DOTALL)
ROOTS = ('mmfas', 'configs', 'tools', 'tests', 'docs', 'projects', 'requirements', '.ci', '.github')
#: Relative links of Markdown, without anchors and addresses.
LINK = re.compile(r'\]\((?![a-z]+:|#|<)([^)#\s]+)')


def blocks(page: Path) -> list[str]:
    """Python blocks of a page."""
    return BLOCK.findall(page.read_text(encoding='utf-8'))


def prose(page: Path) -> str:
    """Text of a page without its fenced blocks."""
    return re.sub(r'^```.*?^```', '', page.read_text(encoding='utf-8'), flags=re.MULTILINE | re.DOTALL)


def named_paths(page: Path) -> set[str]:
    """Paths of the repository that a page names between backticks."""
    found = set()
    for quoted in re.findall(r'`([^`\n]+)`', prose(page)):
        path = quoted.strip().split(' ')[-1] if quoted.startswith(('python ', 'bash ')) else quoted.strip()
        if re.fullmatch(r'[\w./-]+', path) and path.split('/')[0] in ROOTS and '/' in path:
            found.add(path)
    return found


@pytest.mark.parametrize('page', MAPS, ids=lambda page: page.name)
def test_maps_name_only_paths_that_exist(page: Path) -> None:
    assert not [path for path in sorted(named_paths(page)) if not (REPO / path).exists()]


def test_maps_name_paths_at_all() -> None:
    assert sum(len(named_paths(page)) for page in MAPS) > 20


@pytest.mark.parametrize('page', PAGES, ids=lambda page: str(page.relative_to(REPO)))
def test_links_lead_somewhere(page: Path) -> None:
    assert not [link for link in LINK.findall(prose(page)) if not (page.parent / link).exists()]


@pytest.mark.parametrize(
    'page', [page for page in PAGES if blocks(page)], ids=lambda page: str(page.relative_to(REPO))
)
def test_code_of_a_page_runs(page: Path, tmp_path: Path) -> None:
    program = (
        'import json, sys\n'
        'space = {"__name__": "__main__"}\n'
        'for number, code in enumerate(json.load(sys.stdin)):\n'
        '    exec(compile(code, f"block {number}", "exec"), space)\n'
    )
    paths = [str(REPO), *os.environ.get('PYTHONPATH', '').split(os.pathsep)]
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join(filter(None, paths)), 'MPLBACKEND': 'Agg'}
    done = subprocess.run(
        [sys.executable, '-c', program],
        input=json.dumps(blocks(page)),
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_pages_with_code_are_found() -> None:
    assert len([page for page in PAGES if blocks(page)]) >= 5
