"""Sources of frames: video files, cameras, and recordings of RGB-D-IR frames as a folder of PNG or one `.npz`.

| source | modalities | time of a frame |
| --- | --- | --- |
| video file, read by OpenCV and FFmpeg | rgb | as the file says |
| camera, by its number | rgb | since the first frame |
| folder: `rgb_000.png`, `depth_000.png`, `ir_000.png`, `rgb_001.png` ... | those that are there | number / `fps` |
| `.npz`: `rgb` (T, H, W, 3), `depth` (T, H, W), `ir` (T, H, W) | those that are there | number / `fps` |

Colour is `uint8`, red first; depth is `uint16`, usually mm, or `uint8`; infrared is `uint8` or `uint16`. Frames
are read one at a time: a recording may be longer than memory, but a frame of more than `max_mb` (256 megabytes) is
refused. A damaged video is noticed where it cannot be opened or has fewer frames than it states; damage inside a
frame is concealed by the decoder. A frame of a folder that cannot be read raises `BrokenFrameError`, and the next
call of `next` goes on behind it.
"""

from __future__ import annotations

import math
import os
import re
import time
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple

import cv2
import numpy as np

from mmfas.datasets.face_crop import read_picture
from mmfas.datasets.image_files import MAX_SAMPLE_MB, check_memory
from mmfas.structures import MODALITIES
from mmfas.utils.errors import InputError, MissingFileError, RunError, restate
from mmfas.utils.folders import visible_entries

__all__ = [
    'DEFAULT_FPS',
    'BrokenFrameError',
    'Frame',
    'FrameSource',
    'is_frame_folder',
    'open_frames',
    'quiet_video',
]

#: Frames per second of a source that does not say.
DEFAULT_FPS = 30.0
_FRAME_NAME = re.compile(r'(rgb|depth|ir)_(\d+)\.(png|tiff?|jpe?g|bmp|webp)', re.IGNORECASE)
#: A file that promises more frames than it has is cut off, unless it is this close: containers round.
_LOST_FRAMES, _LOST_PART = 2, 0.05
_DTYPES = {'rgb': ('uint8',), 'depth': ('uint16', 'uint8'), 'ir': ('uint8', 'uint16')}


class Frame(NamedTuple):
    """One moment.

    Args:
        number: Of the frame, from 0; in a folder the number in the file names.
        time_s: Since the start of the source.
        pictures: Modality -> (H, W, 3), red first, or (H, W).
    """

    number: int
    time_s: float
    pictures: dict[str, np.ndarray]


class BrokenFrameError(InputError):
    """One frame of a folder cannot be read; the next call of `next` gives the one after it.

    Args:
        message: What is wrong.
        number: Of the frame.
    """

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.number = number


class FrameSource(ABC):
    """Frames in their order, to be looped over once; a context manager that releases camera or file.

    Args:
        name: Of the source in messages.
        fps: Frames per second.
        num_frames: How many there are; None if the source does not know.
        modalities: What its frames may have, canonical order.
    """

    def __init__(self, name: str, *, fps: float, num_frames: int | None, modalities: tuple[str, ...]) -> None:
        self.name = name
        self.modalities = modalities
        self.fps = fps
        self.num_frames = num_frames
        self._frames = self._read()

    @abstractmethod
    def _read(self) -> Iterator[Frame | BrokenFrameError]:
        """Yield the frames; an error in place of one that cannot be read."""

    def close(self) -> None:
        """Release what the source holds; there are no frames afterwards."""
        self._frames = iter(())

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        frame = next(self._frames)
        if isinstance(frame, BrokenFrameError):
            raise frame
        return frame

    def __enter__(self) -> FrameSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f'{type(self).__name__}({self.name!r}, fps={self.fps:g}, num_frames={self.num_frames})'


def open_frames(
    source: str | Path | int, *, fps: float | None = None, max_mb: float = MAX_SAMPLE_MB
) -> FrameSource:
    """Open a source of frames.

    Args:
        source: Video file, folder or `.npz` of frames; or the number of a camera.
        fps: Frames per second of a folder or `.npz`, 30 if None; videos and cameras know theirs.
        max_mb: Memory that one frame may take, in megabytes.

    Returns:
        The source; looping over it gives `Frame` records.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is broken, holds no frames, or a setting does not fit it.
        RuntimeError: If the camera cannot be opened.
    """
    if fps is not None and not 0 < fps < math.inf:
        raise InputError(f'fps must be above 0, got {fps}')
    path = None if isinstance(source, int) else Path(source)
    is_recording = path is not None and (path.is_dir() or path.suffix.lower() == '.npz')
    if fps is not None and not is_recording:
        raise InputError(f"fps is for folders and .npz files; '{source}' knows its own")
    if path is None:
        return _Camera(int(source), max_mb=max_mb)  # type: ignore[arg-type]
    if not path.exists():
        raise MissingFileError(f"'{path}' does not exist")
    if not is_recording:
        return _VideoFile(path, max_mb=max_mb)
    kind = _Folder if path.is_dir() else _Archive
    return kind(path, fps=fps or DEFAULT_FPS, max_mb=max_mb)


def is_frame_folder(folder: str | Path) -> bool:
    """Tell whether a folder is a recording of frames: whether one of its files is named like `rgb_000.png`.

    Args:
        folder: The folder.
    """
    return any(_FRAME_NAME.fullmatch(path.name) for path in visible_entries(folder))


@contextmanager
def quiet_video() -> Iterator[None]:
    """Keep OpenCV and FFmpeg from printing what an error says in one sentence.

    FFmpeg stays quiet for the rest of the process, unless the environment says otherwise or a video was opened
    without this before.
    """
    os.environ.setdefault('OPENCV_FFMPEG_LOGLEVEL', '-8')  # read when the first video is opened
    logging = cv2.utils.logging
    level = logging.getLogLevel()
    logging.setLogLevel(logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        logging.setLogLevel(level)


class _Capture(FrameSource):
    """Colour frames of OpenCV."""

    def __init__(
        self, name: str, capture: cv2.VideoCapture, *, max_mb: float, num_frames: int | None = None
    ) -> None:
        self._capture = capture
        width, height = (int(capture.get(key)) for key in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        try:
            check_memory(3 * width * height, (width, height, 3), max_mb)
        except InputError as error:
            capture.release()
            raise restate(error, f'{name}: {error}') from None
        stated = float(capture.get(cv2.CAP_PROP_FPS))
        fps = stated if 0 < stated < 1000 else DEFAULT_FPS
        super().__init__(name, fps=fps, num_frames=num_frames, modalities=('rgb',))

    def _grab(self) -> np.ndarray | None:
        """Return the next picture (H, W, 3), red first, or None behind the last."""
        with quiet_video():
            found, picture = self._capture.read()
        return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB) if found else None

    def close(self) -> None:
        """Release the camera or file."""
        super().close()
        self._capture.release()


class _VideoFile(_Capture):
    """A video file."""

    def __init__(self, path: Path, *, max_mb: float) -> None:
        with quiet_video():  # with this backend a name with % is no pattern, and no pipeline either
            capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        if not capture.isOpened():
            raise InputError(
                f"'{path}' cannot be opened as a video: it is damaged, cut off, or of a format that OpenCV lacks"
            )
        stated = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        super().__init__(f"'{path}'", capture, max_mb=max_mb, num_frames=stated if stated > 0 else None)

    def _read(self) -> Iterator[Frame]:
        number = 0
        while (picture := self._grab()) is not None:
            yield Frame(number, self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000, {'rgb': picture})
            number += 1
        stated = self.num_frames or 0
        if not number or stated - number > max(_LOST_FRAMES, _LOST_PART * stated):
            promised = f' of {stated}' if stated else ''
            raise InputError(f'{self.name} ends after {number}{promised} frames: it is damaged or cut off')


class _Camera(_Capture):
    """A camera that OpenCV can open."""

    def __init__(self, index: int, *, max_mb: float) -> None:
        if index < 0:
            raise InputError(f'cameras are numbered from 0, got {index}')
        with quiet_video():
            capture = cv2.VideoCapture(index)
        if not capture.isOpened():
            raise RunError(f'camera {index} cannot be opened: is it connected, and not used by another program?')
        super().__init__(f'camera {index}', capture, max_mb=max_mb)

    def _read(self) -> Iterator[Frame]:
        number, start = 0, 0.0
        while (picture := self._grab()) is not None:
            now = time.monotonic()
            start = start or now
            yield Frame(number, now - start, {'rgb': picture})
            number += 1
        raise RunError(f'{self.name} delivers no more frames after {number}: was it unplugged?')


class _Folder(FrameSource):
    """Numbered picture files."""

    def __init__(self, folder: Path, *, fps: float, max_mb: float) -> None:
        self._max_mb = max_mb
        self._files: dict[int, dict[str, Path]] = {}
        for path in visible_entries(folder):
            match = _FRAME_NAME.fullmatch(path.name)
            if match is None:
                raise InputError(
                    f"'{path}' is no frame: names are rgb_000.png, depth_000.png, ir_000.png, rgb_001.png, ..."
                )
            earlier = self._files.setdefault(int(match[2]), {}).setdefault(match[1].lower(), path)
            if earlier != path:
                raise InputError(f"'{path}' and '{earlier.name}' are the same frame; remove one of them")
        if not self._files:
            raise InputError(f"'{folder}' holds no frames (rgb_000.png, depth_000.png, ir_000.png, ...)")
        found = tuple(m for m in MODALITIES if any(m in files for files in self._files.values()))
        super().__init__(f"'{folder}'", fps=fps, num_frames=len(self._files), modalities=found)

    def _read(self) -> Iterator[Frame | BrokenFrameError]:
        for number, paths in sorted(self._files.items()):
            try:
                pictures = self._pictures(paths)
            except (ValueError, OSError) as error:
                yield BrokenFrameError(str(error), number)
            else:
                yield Frame(number, number / self.fps, pictures)

    def _pictures(self, paths: dict[str, Path]) -> dict[str, np.ndarray]:
        """Read the pictures of one frame."""
        pictures, left = {}, self._max_mb
        for modality in MODALITIES:
            if modality in paths:
                picture = read_picture(paths[modality], modality, max_mb=left)
                left -= picture.nbytes / 1e6
                pictures[modality] = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
        return pictures


class _Stored(NamedTuple):
    """One array of an archive, open where its next frame begins."""

    stream: IO[bytes]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


class _Archive(FrameSource):
    """A `.npz` with one array per modality, which is unpacked frame by frame."""

    def __init__(self, path: Path, *, fps: float, max_mb: float) -> None:
        try:
            self._archive = zipfile.ZipFile(path)
            names = [name.removesuffix('.npy') for name in self._archive.namelist()]
            unknown = [name for name in names if name not in MODALITIES]
            if unknown or not names:
                found = f'has {unknown[0]!r}' if unknown else 'is empty'
                raise InputError(f'{found}; its arrays must be some of {", ".join(MODALITIES)}')
            self._arrays = {name: self._open(name) for name in MODALITIES if name in names}
            counts = {name: stored.shape[0] for name, stored in self._arrays.items()}
            if len(set(counts.values())) > 1 or not all(counts.values()):
                raise InputError(f'its arrays must have equally many frames, at least one, but have {counts}')
            shapes = [stored.shape[1:] for stored in self._arrays.values()]
            sizes = [math.prod(stored.shape[1:]) * stored.dtype.itemsize for stored in self._arrays.values()]
            check_memory(sum(sizes), shapes[0], max_mb)
        except Exception as error:  # zipfile, zlib and numpy have no common error
            raise InputError(f"'{path}' cannot be read as frames: {error}") from error
        num_frames = next(iter(counts.values()))
        super().__init__(f"'{path}'", fps=fps, num_frames=num_frames, modalities=tuple(self._arrays))

    def _open(self, name: str) -> _Stored:
        """Open an array and read its header."""
        stream = self._archive.open(f'{name}.npy')
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, is_fortran, dtype = read(stream)
        num_axes = 4 if name == 'rgb' else 3
        fits = len(shape) == num_axes and (name != 'rgb' or shape[3] == 3)
        if not fits or dtype.name not in _DTYPES[name] or is_fortran:
            expected = f'({"T, H, W, 3" if name == "rgb" else "T, H, W"}) {" or ".join(_DTYPES[name])}'
            order = ' in Fortran order' if is_fortran else ''
            raise InputError(f'{name} must be {expected}, but is {shape} {dtype.name}{order}')
        return _Stored(stream, shape, dtype)

    def _read(self) -> Iterator[Frame]:
        assert self.num_frames is not None
        for number in range(self.num_frames):
            pictures = {name: self._next_of(name, stored, number) for name, stored in self._arrays.items()}
            yield Frame(number, number / self.fps, pictures)

    def _next_of(self, name: str, stored: _Stored, number: int) -> np.ndarray:
        """Unpack one picture."""
        size = math.prod(stored.shape[1:]) * stored.dtype.itemsize
        try:
            data = stored.stream.read(size)
            if len(data) < size:
                raise InputError('the array is cut off')
        except Exception as error:  # zipfile and zlib have no common error
            raise InputError(f'{self.name}: frame {number} of {name} cannot be read: {error}') from error
        picture = np.frombuffer(data, stored.dtype).reshape(stored.shape[1:])
        return picture.astype(stored.dtype.newbyteorder('='))

    def close(self) -> None:
        """Close the file."""
        super().close()
        self._archive.close()
