"""A page and its Chinese twin say the same: same structure, code, commands, numbers, links and pictures.

Prose differs, all else is equal, so who changes a page changes its twin: `docs/TRANSLATING.md` has the rules.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

Found = Counter[str] | list[str]
ROOT = Path(__file__).resolve().parents[2]
EN, ZH = ROOT / 'docs' / 'en', ROOT / 'docs' / 'zh_CN'
#: Made by commands or from docstrings: English only.
ENGLISH_ONLY = ('api/', 'benchmarks/', 'leaderboard.md')
PAGES = sorted(
    name
    for name in (path.relative_to(EN).as_posix() for path in EN.rglob('*.md'))
    if not name.startswith(ENGLISH_ONLY)
)
PAIRS = {name: (EN / name, ZH / name) for name in PAGES} | {
    'README.md': (ROOT / 'README.md', ROOT / 'README_zh-CN.md')
}
#: Other words for the same thing, which the pages do not use: see `docs/TRANSLATING.md`.
AVOIDED = ('骨干', '令牌', '模型包', '批次大小', '你')
FENCE = re.compile(r'^(?P<indent> *)```(?P<kind>\S*)\n(?P<body>.*?)^(?P=indent)```$', re.MULTILINE | re.DOTALL)
INLINE = re.compile(r'`([^`]+)`')
LINK = re.compile(r'\]\(([^()\s]+(?:\([^()\s]*\)[^()\s]*)*)\)')
FORMULA = re.compile(r'\$\$.+?\$\$|\$[^$\n]+\$', re.DOTALL)
NUMBER = re.compile(r'\d+(?:[.,]\d+)*')
HEADING = re.compile(r'^(#+) +(.+?) *$')
#: Blocks of Markdown that a line may start.
STARTS = re.compile(r' *(?P<mark>\* |- |\d+\. |:::\S*)|(?P<row>\|)|(?P<heading>#+) ')


@cache
def text_of(page: Path) -> str:
    """Text of a page."""
    return page.read_text(encoding='utf-8')


def prose(page: Path) -> str:
    """Text without fenced blocks."""
    return FENCE.sub('', text_of(page))


@cache
def headings(page: Path) -> tuple[str, ...]:
    """Anchors of the headings, as GitHub and MyST make them."""
    found = [HEADING.match(line) for line in prose(page).splitlines()]
    titles = [re.sub(r'[`*]|\]\([^)]*\)|\[', '', match[2]) for match in found if match]
    return tuple(re.sub(r'[^\w\- ]', '', title.lower().replace(' ', '-')) for title in titles)


def fences(page: Path) -> list[str]:
    """Kinds and lines of the fenced blocks; of a toctree, its entries that have a twin."""
    blocks: list[str] = []
    for fence in FENCE.finditer(text_of(page)):
        kind, lines = fence['kind'], fence['body'].splitlines()
        if kind == '{toctree}':
            lines = [line for line in lines if not line.startswith((':caption:', *ENGLISH_ONLY, 'leaderboard'))]
        blocks += [f'```{kind}', *lines]
    return blocks


def skeleton(page: Path) -> list[str]:
    """Headings, list items, rows and fenced blocks, in their order."""
    bones = []
    for line in FENCE.sub(lambda fence: f'```{fence["kind"]}', text_of(page)).splitlines():
        if line.lstrip().startswith('```'):
            bones.append(line.strip())
        elif start := STARTS.match(line):
            cells = len(re.findall(r'(?<!\\)\|', INLINE.sub('', line))) - 1
            mark = re.sub(r'\d+', '1', start['mark'] or '').strip()
            bones.append(f'row of {cells}' if start['row'] else start['heading'] or mark)
    return bones


def inline_code(page: Path) -> Counter[str]:
    """Text between backticks."""
    return Counter(' '.join(code.split()) for code in INLINE.findall(prose(page)))


def formulas(page: Path) -> Counter[str]:
    """Formulas between dollars."""
    return Counter(' '.join(found.split()) for found in FORMULA.findall(INLINE.sub('', prose(page))))


def numbers(page: Path) -> Counter[str]:
    """Numbers in digits, without those of code and addresses."""
    return Counter(NUMBER.findall(LINK.sub(']', INLINE.sub('', prose(page)))))


def target(page: Path, link: str) -> str:
    """What a link leads to, the same for twins: a page by its English path, an anchor by its heading's place."""
    if re.match(r'[a-z]+:', link):
        return link
    path, _, anchor = link.partition('#')
    file = Path(posixpath.normpath(page.parent / path)) if path else page
    known = headings(file) if anchor and file.is_file() else ()
    if file.is_relative_to(ZH):
        file = EN / file.relative_to(ZH)
    name = file.relative_to(ROOT).as_posix().replace('README_zh-CN.md', 'README.md')
    if not anchor:
        return name
    return f'{name}, heading {known.index(anchor)}' if anchor in known else f'{link}: no such heading'


def targets(page: Path) -> Counter[str]:
    """Where the links and images of a page lead, but for the README's link to its twin."""
    found = Counter(target(page, link) for link in LINK.findall(prose(page)))
    del found['README.md']
    return found


def difference(ours: Found, theirs: Found) -> str:
    """Say where two results part."""
    if isinstance(ours, Counter) and isinstance(theirs, Counter):
        return f'only English {dict(ours - theirs)}, only Chinese {dict(theirs - ours)}'
    equal = [mine == other for mine, other in zip(ours, theirs)]
    place = [*equal, False].index(False)
    return f'at {place}: English {list(ours)[place : place + 3]}, Chinese {list(theirs)[place : place + 3]}'


def faults_of(english: Path, chinese: Path) -> list[str]:
    """Compare a page with its twin; one line for each kind of difference."""
    reads: tuple[Callable[[Path], Found], ...] = (skeleton, fences, inline_code, formulas, numbers, targets)
    return [
        f'{read.__name__} {difference(read(english), read(chinese))}'
        for read in reads
        if read(english) != read(chinese)
    ]


@pytest.mark.parametrize('name', PAIRS)
def test_a_page_and_its_twin_say_the_same(name: str) -> None:
    english, chinese = PAIRS[name]
    assert chinese.is_file(), f'{chinese.relative_to(ROOT)} is missing'
    faults = faults_of(english, chinese)
    assert not faults, '\n'.join(faults)


@pytest.mark.parametrize('name', PAIRS)
def test_a_term_has_one_translation(name: str) -> None:
    assert not [word for word in AVOIDED if word in text_of(PAIRS[name][1])]


def test_no_chinese_page_is_alone() -> None:
    assert len(PAGES) > 30
    assert not [path for path in ZH.rglob('*.md') if path.relative_to(ZH).as_posix() not in PAGES]


@pytest.mark.parametrize(
    ('chinese', 'fault'),
    [
        ('## 一\n\n* 运行 `mmfas list`，见[甲](b.md)，3 个。\n', ''),
        (
            '# 一\n\n* 运行 `mmfas list`，见[甲](b.md)，3 个。\n',
            "skeleton at 0: English ['##', '*'], Chinese ['#', '*']",
        ),
        ('## 一\n\n运行 `mmfas list`，见[甲](b.md)，3 个。\n', 'skeleton at 1'),
        ('## 一\n\n* 运行 `mmfas list`，见[甲](b.md)，三个。\n', "numbers only English {'3': 1}"),
        ('## 一\n\n* 运行 `mmfas lists`，见[甲](b.md)，3 个。\n', 'inline_code only English'),
        ('## 一\n\n* 运行 `mmfas list`，见[甲](c.md)，3 个。\n', 'targets only English'),
    ],
)
def test_a_difference_is_seen(chinese: str, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), 'ROOT', tmp_path)
    monkeypatch.setitem(globals(), 'EN', tmp_path / 'en')
    monkeypatch.setitem(globals(), 'ZH', tmp_path / 'zh')
    pair = tmp_path / 'en' / 'a.md', tmp_path / 'zh' / 'a.md'
    for page, text in zip(pair, ('## One\n\n* Run `mmfas list`, see [it](b.md), 3 times.\n', chinese)):
        page.parent.mkdir()
        page.write_text(text, encoding='utf-8')
    seen = faults_of(*pair)
    assert [fault in line for line in seen] == ([True] if fault else [])


@pytest.mark.parametrize('read', [skeleton, fences, inline_code, numbers, targets], ids=lambda read: read.__name__)
def test_pages_have_what_is_compared(read: Callable[[Path], Found]) -> None:
    assert sum(bool(read(english)) for english, _ in PAIRS.values()) > 20
