"""What the documentation says is true: its paths exist, its code runs, its pages are found."""

from __future__ import annotations

import os
import re
import traceback
from pathlib import Path
from typing import Any

import pytest
from fork_server import warm_context

REPO = Path(__file__).resolve().parents[2]
PAGES = sorted([*(REPO / 'docs').rglob('*.md'), *REPO.glob('*.md')])
MAPS = [
    *REPO.glob('README*.md'),
    REPO / 'docs' / 'en' / 'contribute.md',
    REPO / 'docs' / 'en' / 'architecture.md',
]
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


def run_blocks(codes: list[str], folder: str, errors: str) -> None:
    """Run the blocks of a page in one namespace; what goes wrong is written to a file."""
    os.chdir(folder)
    space: dict[str, Any] = {'__name__': '__main__'}
    try:
        for number, code in enumerate(codes):
            exec(compile(code, f'block {number}', 'exec'), space)
    except BaseException:
        Path(errors).write_text(traceback.format_exc(), encoding='utf-8')
        raise


@pytest.fixture(scope='module')
def fresh_process() -> Any:
    """Start processes that have torch and the engine imported already: one import for all pages."""
    os.environ.setdefault('MPLBACKEND', 'Agg')
    return warm_context().Process


@pytest.mark.slow
@pytest.mark.parametrize(
    'page',
    # Tutorials have a test of their own, and the code of a Chinese page is that of its twin.
    [page for page in PAGES if blocks(page) and not {'zh_CN', 'tutorials'} & set(page.parts)],
    ids=lambda page: str(page.relative_to(REPO)),
)
def test_code_of_a_page_runs(
    page: Path, tmp_path: Path, fresh_process: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(REPO)
    folder = tmp_path / 'page'
    folder.mkdir()
    errors = tmp_path / 'errors.txt'
    process = fresh_process(target=run_blocks, args=(blocks(page), str(folder), str(errors)))
    process.start()
    process.join(timeout=120)
    process.kill()
    assert not errors.exists(), errors.read_text(encoding='utf-8')[-3000:]
    assert process.exitcode == 0


def test_pages_with_code_are_found() -> None:
    assert len([page for page in PAGES if blocks(page)]) >= 5
