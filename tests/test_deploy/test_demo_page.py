"""The demo page as a user sees it: opened in a real browser, without a network."""

from __future__ import annotations

import importlib.util
import io
import json
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import httpx
import numpy as np
import pytest
import uvicorn
from browser import Tab, browser, needs_browser
from PIL import Image

from mmfas.cli.demo import main
from mmfas.deploy.bundle import Bundle
from mmfas.deploy.golden_sample import rendered_triple
from mmfas.deploy.http_server import address_of, bind
from mmfas.deploy.inferencer import FASInferencer
from mmfas.deploy.verdict import Verdict
from mmfas.visualization.verdict_pictures import DECISION_COLOURS

needs_gradio = pytest.mark.skipif(
    importlib.util.find_spec('gradio') is None, reason="needs gradio: pip install 'mmfas[demo]'"
)
pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings('ignore::Warning:gradio')]

WIDTH, HEIGHT = 1400, 1250
#: The first samples of the page.
LABELS = ('live', 'print', 'replay')
WORD, NUMBER = ("document.querySelector('#verdict .fas-word')", "document.querySelector('#verdict .fas-number')")


class Demo(NamedTuple):
    """A demo that runs, what judges in it, and the addresses that this process has connected to."""

    address: str
    inferencer: FASInferencer
    connected: list[Any]


@pytest.fixture(scope='module')
def demo(unsure_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """Run the demo in a thread."""
    connected: list[Any] = []
    connect = socket.socket.connect

    def watched(self: socket.socket, address: Any) -> None:
        connected.append(address)
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch, bind('127.0.0.1', 0) as place:
        patch.setattr(socket.socket, 'connect', watched)
        patch.setenv('GRADIO_TEMP_DIR', str(tmp_path_factory.mktemp('uploads')))
        from mmfas.deploy.demo import make_demo

        inferencer = FASInferencer(unsure_bundle, 'cpu')
        app = make_demo(inferencer, tmp_path_factory.mktemp('samples'))
        server = uvicorn.Server(uvicorn.Config(app, log_level='warning', timeout_graceful_shutdown=1))
        thread = Thread(target=server.run, kwargs=dict(sockets=[place]))
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield Demo(address_of(place), inferencer, connected)
        server.should_exit = True
        thread.join()


def camera_frame() -> Image.Image:
    """What the camera of the browser sees."""
    return Image.fromarray(rendered_triple('print')['rgb']).resize((320, 240))


@pytest.fixture(scope='module')
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    """A browser whose camera sees a printed face."""
    stream = io.BytesIO()
    for _ in range(2):
        camera_frame().save(stream, 'JPEG', quality=95)
    camera = tmp_path_factory.mktemp('camera') / 'face.mjpeg'
    camera.write_bytes(stream.getvalue())
    with browser(tmp_path_factory.mktemp('profile'), camera=camera) as tab:
        yield tab


@pytest.fixture
def tab(demo: Demo, opened: Tab) -> Tab:
    """The page as it opens."""
    opened.open(demo.address, width=WIDTH, height=HEIGHT)
    opened.wait_for(f'{WORD} && document.querySelectorAll("#samples img").length == 8')
    opened.wait_for('[...document.images].every(image => image.complete && image.naturalWidth)')
    return opened


def click_sample(demo: Demo, tab: Tab, label: str) -> Verdict:
    """Click a sample and wait for its score; returns its verdict."""
    verdict = demo.inferencer.judge_pictures(rendered_triple(label))
    number = LABELS.index(label)
    tab.evaluate(f"document.querySelectorAll('#samples img')[{number}].closest('button').click()")
    tab.wait_for(f"{NUMBER}.innerText == '{verdict.score:.4f}'")
    return verdict


def box(tab: Tab, query: str) -> list[int]:
    """Left, top, right and bottom of the first element."""
    found = tab.evaluate(
        f"(r => [r.left, r.top, r.right, r.bottom])(document.querySelector('{query}').getBoundingClientRect())"
    )
    return [round(value) for value in found]


def seen(tab: Tab, picture: np.ndarray, query: str) -> np.ndarray:
    """Cut an element out of the screenshot."""
    left, top, right, bottom = box(tab, query)
    assert 0 <= left < right <= WIDTH and 0 <= top < bottom <= HEIGHT, (query, left, top, right, bottom)
    return picture[top:bottom, left:right].astype(int)


@needs_gradio
@needs_browser
def test_the_page_opens_with_a_sample_judged(demo: Demo, tab: Tab) -> None:
    expected = demo.inferencer.judge_pictures(rendered_triple('live'))
    assert tab.evaluate(f'{NUMBER}.innerText') == f'{expected.score:.4f}'
    assert tab.evaluate(f'{WORD}.innerText') == expected.decision
    assert 'it judges no real face and must not guard anything' in tab.evaluate('document.body.innerText')
    assert tab.evaluate("document.querySelectorAll('#parts tr').length") == 5  # header, all, three parts
    assert tab.evaluate('document.documentElement.scrollWidth') <= WIDTH
    picture = tab.screenshot()
    assert picture.shape == (HEIGHT, WIDTH, 3)
    colour = DECISION_COLOURS[expected.decision]
    assert (abs(seen(tab, picture, '#verdict .fas-word') - colour).max(axis=-1) < 45).mean() > 0.1
    assert (abs(seen(tab, picture, '#verdict .fas-dot') - colour).max(axis=-1) < 30).mean() > 0.3
    for slot in ('rgb', 'depth', 'ir'):
        assert seen(tab, picture, f'#slot-{slot} img').std() > 20, slot
    assert seen(tab, picture, '#uncertainty img').std() > 20


@needs_gradio
@needs_browser
def test_a_sample_that_is_clicked_is_judged_and_its_parts_change(demo: Demo, tab: Tab) -> None:
    for label in ('print', 'replay'):
        assert click_sample(demo, tab, label).decision == tab.evaluate(f'{WORD}.innerText')
        part = demo.inferencer.judge_pictures({'rgb': rendered_triple(label)['rgb']})
        tab.wait_for(f"document.querySelector('#parts tr:last-child').innerText.includes('{part.score:.4f}')")


@needs_gradio
@needs_browser
def test_an_emptied_slot_is_judged_without_its_picture(demo: Demo, tab: Tab) -> None:
    click_sample(demo, tab, 'print')
    tab.evaluate('document.querySelector(\'#slot-ir button[aria-label="Remove Image"]\').click()')
    tab.wait_for("!document.querySelector('#slot-ir img')")
    tab.evaluate("document.querySelector('#judge').click()")
    expected = demo.inferencer.judge_pictures({m: rendered_triple('print')[m] for m in ('rgb', 'depth')})
    tab.wait_for(f"{NUMBER}.innerText == '{expected.score:.4f}'")


@needs_gradio
@needs_browser
def test_a_photo_of_the_webcam_is_judged_as_the_camera_saw_it(demo: Demo, tab: Tab) -> None:
    def press(query: str) -> None:
        tab.wait_for(f"document.querySelector('{query}')")
        tab.evaluate(f"document.querySelector('{query}').click()")

    for slot in ('depth', 'ir', 'rgb'):
        press(f'#slot-{slot} button[aria-label="Remove Image"]')
    press('#slot-rgb button[aria-label="Capture from camera"]')
    press('#slot-rgb [title="grant webcam access"] button')
    tab.wait_for("document.querySelector('#slot-rgb video')?.currentTime > 0.2")
    press('#slot-rgb button[aria-label="capture photo"]')
    tab.wait_for("document.querySelector('#slot-rgb img')?.src.startsWith('http')")
    content = httpx.get(tab.evaluate("document.querySelector('#slot-rgb img').src")).content
    taken = np.asarray(Image.open(io.BytesIO(content)).convert('RGB')).astype(float)
    frame = np.asarray(camera_frame()).astype(float)
    # a mirrored face would fit neither its depth nor its infrared picture
    assert taken.shape == frame.shape and abs(taken - frame).mean() < abs(taken[:, ::-1] - frame).mean() / 2
    press('#judge')
    expected = demo.inferencer.judge_pictures({'rgb': content})
    assert expected.is_judged, expected.reason
    tab.wait_for(f"{NUMBER}.innerText == '{expected.score:.4f}'")
    assert tab.evaluate(f'{WORD}.innerText') == expected.decision


@needs_gradio
@needs_browser
def test_nothing_is_fetched_from_elsewhere_or_sent_there(demo: Demo, tab: Tab) -> None:
    local = [demo.address, 'data:', 'blob:', 'about:']
    assert tab.requested and not [address for address in tab.requested if not address.startswith(tuple(local))]
    assert tab.errors == []
    assert not [to for to in demo.connected if isinstance(to, tuple) and to[0] not in ('127.0.0.1', '::1')]


def judge(demo: Demo, *slots: dict[str, Any] | None) -> tuple[str, str]:
    """Press the button as the page does; returns the kind of answer and its data."""
    number = httpx.post(f'{demo.address}/gradio_api/call/judge', json={'data': list(slots)}).json()['event_id']
    lines = httpx.get(f'{demo.address}/gradio_api/call/judge/{number}', timeout=60).text.splitlines()
    return lines[0].removeprefix('event: '), lines[1].removeprefix('data: ')


@needs_gradio
def test_uploads_are_judged_and_what_is_no_picture_is_refused(demo: Demo) -> None:
    def upload(name: str, content: bytes) -> dict[str, Any]:
        path = httpx.post(f'{demo.address}/gradio_api/upload', files={'files': (name, content)}).json()[0]
        return dict(path=path, orig_name=name, meta=dict(_type='gradio.FileData'))

    from http_bodies import pictures

    content = pictures('replay')
    kind, data = judge(demo, *(upload(f'{m}.png', content[m]) for m in ('rgb', 'depth', 'ir')))
    expected = demo.inferencer.judge_pictures(content)
    assert kind == 'complete' and f'>{expected.score:.4f}<' in json.loads(data)[0]
    kind, data = judge(demo, None, upload('depth.png', content['depth']), None)
    assert kind == 'complete' and 'rgb must be there' in json.loads(data)[0] and json.loads(data)[2] is None
    assert judge(demo, upload('rgb.png', b'not a picture'), None, None)[0] == 'error'


@needs_gradio
def test_no_path_of_a_client_is_opened(demo: Demo, tmp_path: Path) -> None:
    secret = tmp_path / 'secret.png'
    secret.write_bytes(b'a secret')
    for path in (str(secret), '/etc/passwd', '../../etc/passwd'):
        kind, data = judge(demo, dict(path=path, meta=dict(_type='gradio.FileData')), None, None)
        assert kind == 'error' and 'secret' not in data and 'root:' not in data
        assert httpx.get(f'{demo.address}/gradio_api/file={path}').status_code in (403, 404)


def test_the_command_names_the_extra(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, 'mmfas.deploy.demo', raising=False)
    monkeypatch.setitem(sys.modules, 'gradio', None)
    assert main(['nothing.pth']) == 1
    assert "`mmfas demo` needs the package gradio: pip install 'mmfas[demo]'" in capsys.readouterr().err
