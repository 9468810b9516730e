"""The HTML report as a reader sees it: opened in a real browser, without a network."""

from __future__ import annotations

import io
import json
import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmark_records import add_record
from browser import BROWSER, FLAGS, needs_browser
from PIL import Image

from mmfas.benchmark.plan import Cell
from mmfas.cli.benchmark import main

#: Of a browser that takes a picture and reaches nothing.
PICTURED = ('--force-device-scale-factor=1', '--host-resolver-rules=MAP * ~NOTFOUND')
#: Attributes by which a page fetches something.
ADDRESSES = ('src', 'srcset', 'href', 'data', 'poster', 'action')
WIDTH, HEIGHT = 1400, 4200
METHODS = tuple(f'{name}_mini-vit_1xb32-12e_synthfas-cps2w' for name in ('ama', 'concat', 'mmdg'))
#: Colours of the first three methods in every figure; the pictures have 64 colours, so they are near these.
SERIES = ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00), (0x00, 0x9E, 0x73))
#: Asks the browser where everything stands; only in a copy of the page, which itself has no script.
PROBE = """<script>addEventListener('load', () => {
  const of = (query, more) => [...document.querySelectorAll(query)].map(e => {
    const r = e.getBoundingClientRect(); return {box: [r.left, r.top, r.right, r.bottom], ...more(e)}});
  const found = {
    images: of('img', e => ({alt: e.alt, natural: [e.naturalWidth, e.naturalHeight]})),
    tables: of('table', e => ({caption: e.caption.innerText, rows: e.rows.length})),
    cells: of('details[open] td, h2 + .wide td', e => ({lines: e.getClientRects().length})),
    width: document.documentElement.scrollWidth};
  const out = document.createElement('pre'); out.id = 'probe'; out.hidden = true;
  out.textContent = JSON.stringify(found); document.body.append(out)})</script>"""


class References(HTMLParser):
    """Collects everything that a page would fetch or run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note scripts and addresses."""
        if tag in ('script', 'iframe', 'object', 'embed', 'base'):
            self.found.append(tag)
        for name, value in attrs:
            if name in ADDRESSES and not (value or '').startswith('data:'):
                self.found.append(f'{name}={value}')


def browse(page: Path, profile: Path, *arguments: str) -> str:
    """Open a page in a browser that finds no host, and return what it prints."""
    command = [str(BROWSER), *FLAGS, *PICTURED, f'--user-data-dir={profile}']
    command += [f'--window-size={WIDTH},{HEIGHT}', *arguments, page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope='module')
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of three methods: one split with curves, the other cells not run."""
    folder = tmp_path_factory.mktemp('report')
    for number, method in enumerate(METHODS):
        for seed in range(1 + (number == 0)):  # one cell with an interval
            add_record(folder / 'runs', Cell(method, 1, 'cps2w', seed))
    arguments = ['report', '--records', str(folder / 'runs'), '--protocols', '1', '--out', str(folder)]
    assert main(arguments) == 0
    return folder / 'report.html'


def test_the_page_fetches_and_runs_nothing(page: Path) -> None:
    text = page.read_text(encoding='utf-8')
    references = References()
    references.feed(text)
    assert references.found == []
    assert re.findall(r'https?://|url\(|@import', re.sub(r'base64,[^"]+', '', text)) == []


@pytest.fixture(scope='module')
def seen(page: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], np.ndarray]:
    """What the browser says of the page, and its screenshot (H, W, 3)."""
    folder = tmp_path_factory.mktemp('browser')
    probed = folder / 'probed.html'
    probed.write_text(page.read_text(encoding='utf-8').replace('</body>', f'{PROBE}</body>'), encoding='utf-8')
    dom = browse(probed, folder / 'profile', '--dump-dom')
    found = json.loads(re.findall(r'<pre id="probe"[^>]*>(.*?)</pre>', dom, flags=re.DOTALL)[0])
    shot = folder / 'page.png'
    browse(page, folder / 'profile', f'--screenshot={shot}')
    return found, np.asarray(Image.open(io.BytesIO(shot.read_bytes())).convert('RGB'))


def region(picture: np.ndarray, box: list[float]) -> np.ndarray:
    """Cut the region of an element out of the screenshot."""
    left, top, right, bottom = (round(value) for value in box)
    assert 0 <= left < right <= WIDTH and 0 <= top < bottom <= HEIGHT, box
    return picture[top:bottom, left:right]


@needs_browser
def test_tables_are_seen(seen: tuple[dict[str, Any], np.ndarray]) -> None:
    found, picture = seen
    assert picture.shape == (HEIGHT, WIDTH, 3)
    assert found['width'] <= WIDTH, 'the page must not need scrolling to the side'
    overview, details = found['tables']
    assert overview['caption'] == 'Protocol 1: three domains to the fourth: HTER % / AUC %.'
    assert overview['rows'] == 1 + len(METHODS)
    assert details['rows'] == 1 + 5 * len(METHODS)
    shown = region(picture, overview['box'])
    assert (shown < 100).all(axis=-1).mean() > 0.01, 'no text in the table'
    # Every row holds text, and no number is broken over two lines but where it has an interval.
    heights = []
    for row in np.array_split(np.array(found['cells'], dtype=object), len(METHODS)):
        for cell in row:
            assert (region(picture, cell['box']) < 200).any(), cell
        heights.append(row[0]['box'][3] - row[0]['box'][1])
    assert heights[0] > 1.5 * heights[1]
    assert heights[1] == pytest.approx(heights[2], abs=1) and heights[1] < 40


@needs_browser
def test_curves_are_seen(seen: tuple[dict[str, Any], np.ndarray]) -> None:
    found, picture = seen
    kinds = ('ROC', 'DET', 'Attack kinds')
    assert [image['alt'] for image in found['images']] == [f'{kind}, CPS→W, seed 0' for kind in kinds]
    for image in found['images']:
        assert min(image['natural']) > 300, 'the browser could not decode the picture'
        shown = region(picture, image['box']).astype(int)
        for colour in SERIES:
            near = (abs(shown - colour).max(axis=-1) < 70).sum()
            assert near > 100, (image['alt'], colour, near)
    boxes = np.array([image['box'] for image in found['images']])
    # Side by side, none over another: ROC above DET on the left, the bars right of both.
    assert boxes[0, 3] <= boxes[1, 1]
    assert boxes[2, 0] >= boxes[:2, 2].max()
    assert abs(boxes[2, 1] - boxes[0, 1]) < 2
