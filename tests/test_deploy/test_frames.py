"""Frames of videos, cameras, folders and archives arrive in order, with times, and what is broken says so once."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mmfas.deploy.frames import BrokenFrameError, Frame, is_frame_folder, open_frames, quiet_video

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (4, 30, 40, 3), np.uint8)
DEPTH = RNG.integers(300, 1500, (4, 30, 40)).astype(np.uint16)
INFRARED = RNG.integers(0, 256, (4, 30, 40), np.uint8)


def write_video(path: Path, *, num: int = 20, fps: float = 12.5, size: tuple[int, int] = (64, 48)) -> Path:
    """Write a video whose red rises from frame to frame."""
    code = cv2.VideoWriter.fourcc(*('MJPG' if path.suffix == '.avi' else 'mp4v'))
    with quiet_video():
        writer = cv2.VideoWriter(str(path), code, fps, size)
    assert writer.isOpened()
    for number in range(num):
        noise = RNG.integers(0, 20, (size[1], size[0], 3), np.uint8)
        writer.write(noise + np.array((60, 100, 10 * number), np.uint8))
    writer.release()
    return path


def write_folder(folder: Path, numbers: tuple[int, ...] = (0, 1, 2, 3)) -> Path:
    """Write a folder of numbered frames."""
    folder.mkdir()
    for at, number in enumerate(numbers):
        for name, picture in (('rgb', RGB[at, ..., ::-1]), ('depth', DEPTH[at]), ('ir', INFRARED[at])):
            assert cv2.imwrite(str(folder / f'{name}_{number:03d}.png'), picture)
    return folder


def npy(array: np.ndarray) -> bytes:
    """Return the bytes of a `.npy` file."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize('suffix', ['.mp4', '.avi', '.mkv'])
def test_a_video_gives_colour_red_first_with_its_times(suffix: str, tmp_path: Path) -> None:
    with open_frames(write_video(tmp_path / f'a%03d{suffix}')) as source:
        assert (source.fps, source.num_frames) == (12.5, 20)
        frames = list(source)
    assert [frame.number for frame in frames] == list(range(20))
    np.testing.assert_allclose([frame.time_s for frame in frames], np.arange(20) / 12.5, atol=1e-6)
    for frame in frames:
        assert set(frame.pictures) == {'rgb'} and frame.pictures['rgb'].shape == (48, 64, 3)
        red, green, blue = frame.pictures['rgb'].mean(axis=(0, 1))
        assert abs(red - 10 * frame.number - 10) < 12 and abs(green - 110) < 12 and abs(blue - 70) < 12
    assert list(source) == []


@pytest.mark.parametrize('damage', ['cut', 'empty', 'text'])
@pytest.mark.parametrize('suffix', ['.mp4', '.avi', '.mkv'])
def test_a_broken_video_is_one_clear_error(
    damage: str, suffix: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write_video(tmp_path / f'a{suffix}')
    data = path.read_bytes()
    path.write_bytes({'cut': data[: len(data) // 2], 'empty': b'', 'text': b'not a video'}[damage])
    with pytest.raises(ValueError, match=rf"^'.*a\{suffix}' (cannot be opened as a video|ends after \d+ of 20)"):
        list(open_frames(path))
    assert capfd.readouterr() == ('', '')


def test_a_video_with_larger_frames_than_allowed_is_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / 'a.mp4', num=2, size=(640, 480))
    with pytest.raises(ValueError, match=r"a\.mp4': unpacking 640x480x3 values would take 1 MB, but only 0 MB"):
        open_frames(path, max_mb=0.4)


def test_a_folder_of_numbered_frames(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / 'stream', (0, 2, 10, 100))
    (folder / '.DS_Store').write_bytes(b'x')
    (folder / 'ir_002.png').unlink()
    source = open_frames(folder, fps=10)
    assert source.num_frames == 4 and is_frame_folder(folder) and not is_frame_folder(tmp_path)
    for at, frame in enumerate(source):
        assert frame.number == (0, 2, 10, 100)[at] and frame.time_s == frame.number / 10
        np.testing.assert_array_equal(frame.pictures['rgb'], RGB[at])
        np.testing.assert_array_equal(frame.pictures['depth'], DEPTH[at])
        assert ('ir' in frame.pictures) == (frame.number != 2)


@pytest.mark.parametrize('save', [np.savez, np.savez_compressed])
def test_an_archive_of_frames(save: Any, tmp_path: Path) -> None:
    save(tmp_path / 'a.npz', rgb=RGB, depth=DEPTH.astype('>u2'), ir=INFRARED)
    with open_frames(tmp_path / 'a.npz') as source:
        assert (source.fps, source.num_frames) == (30, 4)
        frames = list(source)
    assert [(frame.number, frame.time_s) for frame in frames] == [(n, n / 30) for n in range(4)]
    for frame in frames:
        np.testing.assert_array_equal(frame.pictures['rgb'], RGB[frame.number])
        np.testing.assert_array_equal(frame.pictures['depth'], DEPTH[frame.number])
        np.testing.assert_array_equal(frame.pictures['ir'], INFRARED[frame.number])
        assert frame.pictures['depth'].dtype == np.dtype(np.uint16) and frame.pictures['rgb'].flags.writeable


def test_one_modality_of_an_archive_is_enough_and_closing_ends_the_frames(tmp_path: Path) -> None:
    np.savez(tmp_path / 'a.npz', depth=DEPTH)
    source = open_frames(str(tmp_path / 'a.npz'))
    assert isinstance(next(source), Frame)
    source.close()
    assert list(source) == []
    assert repr(source).endswith('a.npz\'", fps=30, num_frames=4)')


@pytest.mark.parametrize(
    ('arrays', 'message'),
    [
        ({'rgb': RGB, 'nir': INFRARED}, "has 'nir'; its arrays must be some of rgb, depth, ir"),
        ({}, 'is empty; its arrays must be some of'),
        (
            {'rgb': RGB, 'depth': DEPTH[:3]},
            r"equally many frames, .* have \{'rgb': 4, 'depth': 3\}",
        ),
        ({'rgb': RGB[:0]}, 'at least one, but have'),
        ({'rgb': RGB[0]}, r'rgb must be \(T, H, W, 3\) uint8, but is \(30, 40, 3\) uint8'),
        ({'rgb': RGB[..., :2]}, r'but is \(4, 30, 40, 2\)'),
        ({'depth': DEPTH / 1000}, r'depth must be \(T, H, W\) uint16 or uint8, but is \(4, 30, 40\) float64'),
        ({'ir': np.array([[[None]]])}, r'ir must be .* but is \(1, 1, 1\) object'),
        ({'ir': np.asfortranarray(INFRARED)}, 'uint8 in Fortran order'),
        ({'rgb': np.zeros((1, 600, 600, 3), np.uint8)}, 'would take 1 MB, but only 1 MB are left'),
    ],
)
def test_archives_that_are_refused(arrays: dict[str, np.ndarray], message: str, tmp_path: Path) -> None:
    np.savez(tmp_path / 'a.npz', **arrays)
    with pytest.raises(ValueError, match=rf"^'.*a\.npz' cannot be read as frames: .*{message}"):
        open_frames(tmp_path / 'a.npz', max_mb=1)


def test_damaged_archives(tmp_path: Path) -> None:
    path = tmp_path / 'a.npz'
    np.savez(path, rgb=RGB)
    data = path.read_bytes()
    path.write_bytes(data[:-40])
    with pytest.raises(ValueError, match='cannot be read as frames: File is not a zip file'):
        open_frames(path)
    hole = bytearray(data)
    hole[9000:9100] = bytes(100)
    path.write_bytes(hole)
    with pytest.raises(ValueError, match=r"a\.npz': frame \d of rgb cannot be read: Bad CRC-32"):
        list(open_frames(path))
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('rgb.npy', npy(RGB)[:9000])
    with pytest.raises(ValueError, match=r"a\.npz': frame 2 of rgb cannot be read: the array is cut off"):
        list(open_frames(path))


def test_folders_that_are_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / 'stream', (0, 1))
    (folder / 'rgb_1.png').write_bytes(b'')
    with pytest.raises(ValueError, match=r"rgb_1\.png' and 'rgb_001\.png' are the same frame; remove one"):
        open_frames(folder)
    (folder / 'rgb_1.png').rename(folder / 'notes.txt')
    with pytest.raises(ValueError, match=r"notes\.txt' is no frame: names are rgb_000\.png"):
        open_frames(folder)
    (folder / 'notes.txt').unlink()
    (folder / 'depth_001.png').write_bytes(b'broken')
    with pytest.raises(ValueError, match=r"^depth image '.*depth_001\.png': the file cannot be decoded"):
        list(open_frames(folder))
    (folder / 'rgb_002.png').write_bytes((folder / 'rgb_000.png').read_bytes())
    source = open_frames(folder)
    assert next(source).number == 0
    with pytest.raises(BrokenFrameError, match='cannot be decoded') as broken:
        next(source)
    assert broken.value.number == 1 and [frame.number for frame in source] == [2], 'it goes on behind it'
    (tmp_path / 'none').mkdir()
    with pytest.raises(ValueError, match="none' holds no frames"):
        open_frames(tmp_path / 'none')


def test_what_does_not_exist_or_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"^'no\.mp4' does not exist"):
        open_frames('no.mp4')
    for fps in (0, -1, float('nan'), float('inf')):
        with pytest.raises(ValueError, match='fps must be above 0'):
            open_frames(tmp_path, fps=fps)
    with pytest.raises(ValueError, match=r"fps is for folders and \.npz files; '.*a\.mp4' knows its own"):
        open_frames(write_video(tmp_path / 'a.mp4', num=2), fps=10)
    with pytest.raises(ValueError, match='cameras are numbered from 0, got -1'):
        open_frames(-1)


def test_a_camera_that_is_not_there_is_one_clear_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match='^camera 77 cannot be opened: is it connected, and not used by'):
        open_frames(77)
    assert capfd.readouterr() == ('', '')


class FakeCamera:
    """Delivers three frames, then nothing, as an unplugged camera."""

    def __init__(self, index: int) -> None:
        self.left, self.released = 3, False

    def isOpened(self) -> bool:  # noqa: N802 (the name is OpenCV's)
        """Whether it is open."""
        return True

    def get(self, key: int) -> float:
        """Return a property."""
        return {cv2.CAP_PROP_FRAME_WIDTH: 64.0, cv2.CAP_PROP_FRAME_HEIGHT: 48.0}.get(key, 0.0)

    def read(self) -> tuple[bool, np.ndarray | None]:
        """Return the next frame, blue first."""
        self.left -= 1
        return (True, np.full((48, 64, 3), (1, 2, 3), np.uint8)) if self.left >= 0 else (False, None)

    def release(self) -> None:
        """Close."""
        self.released = True


def test_a_camera_gives_frames_with_times_until_it_is_unplugged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, 'VideoCapture', FakeCamera)
    with open_frames(0) as source:
        assert (source.fps, source.num_frames) == (30, None)
        frames = [next(source) for _ in range(3)]
        with pytest.raises(RuntimeError, match='^camera 0 delivers no more frames after 3: was it unplugged'):
            next(source)
    assert source._capture.released  # type: ignore[attr-defined]
    assert [frame.number for frame in frames] == [0, 1, 2] and frames[0].time_s == 0
    assert sorted(frame.time_s for frame in frames) == [frame.time_s for frame in frames]
    assert frames[0].pictures['rgb'][0, 0].tolist() == [3, 2, 1]
