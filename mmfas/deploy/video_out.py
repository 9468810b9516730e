"""Frames with a verdict written on them, and the video file that they go to."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from mmfas.datasets.face_crop import Square
from mmfas.deploy.frames import quiet_video
from mmfas.utils.errors import FileError, InputError, RunError
from mmfas.utils.files import atomic_file

__all__ = ['VideoWriter', 'annotate']

_FONT = cv2.FONT_HERSHEY_SIMPLEX


def annotate(
    picture: np.ndarray, text: str, *, colour: tuple[int, int, int] = (110, 110, 110), square: Square | None = None
) -> np.ndarray:
    """Write a line on a bar at the top of a frame, and draw what was cut out.

    Args:
        picture: (H, W, 3), uint8, red first.
        text: One line; made smaller until it fits. What is not ASCII becomes `?`, as OpenCV has no other letters.
        colour: Of bar and square, red first, such as `DECISION_COLOURS['live']`.
        square: Square of the face crop.

    Returns:
        A copy (H, W, 3) with the annotation.
    """
    out = np.array(picture, order='C')
    height, width = out.shape[:2]
    thick = max(1, round(min(height, width) / 240))
    if square is not None:
        box = cv2.boxPoints((square.centre, (square.side, square.side), square.angle_deg))
        cv2.polylines(out, [np.rint(box).astype(np.int32)], True, colour, 2 * thick, cv2.LINE_AA)
    line = ''.join(letter if 32 <= ord(letter) < 127 else '?' for letter in text)
    (wide, high), below = cv2.getTextSize(line, _FONT, 1.0, thick)
    scale = min(max(height / 480, 0.3), 0.96 * width / max(wide, 1))
    bar = round(scale * (high + below) + 6 * thick)
    cv2.rectangle(out, (0, 0), (width, bar), colour, cv2.FILLED)
    # Black on bright bars, white on dark ones.
    ink = (0, 0, 0) if np.dot(colour, (0.299, 0.587, 0.114)) > 140 else (255, 255, 255)
    place = (round(0.02 * width), round(scale * high + 3 * thick))
    cv2.putText(out, line, place, _FONT, scale, ink, thick, cv2.LINE_AA)
    return out


class VideoWriter:
    """Writes an `.mp4` (MPEG-4 part 2, OpenCV's `mp4v`) that appears, complete, when the block ends.

    Size and rate are those of the first frame and of `fps`. An odd width or height gets one more column or row, as
    the codec needs even ones. If the block ends by Ctrl-C, which is how a camera is stopped, or because the source
    is broken or gone, the file has what was written until then; after any other error there is none.

    Args:
        path: The file, ending in `.mp4`.
        fps: Frames per second.

    Raises:
        ValueError: If the name has another ending or the rate is not above 0.
    """

    def __init__(self, path: str | Path, *, fps: float) -> None:
        self.path = Path(path)
        self.fps = fps
        self.num_frames = 0
        if self.path.suffix.lower() != '.mp4':
            raise InputError(f"'{self.path}': videos are written as .mp4; give such a name")
        if not 0 < fps <= 1000:
            raise InputError(f'fps must be above 0 and at most 1000, got {fps}')
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)

    def write(self, picture: np.ndarray) -> None:
        """Add a frame.

        Args:
            picture: (H, W, 3), uint8, red first; all of one size.

        Raises:
            ValueError: If it has another size than the first.
            OSError: If OpenCV cannot write such a video here.
        """
        size = (picture.shape[1], picture.shape[0])
        if self._writer is None:
            self._size = size
            self._writer = self._start()
        if size != self._size:
            width, height = self._size
            raise InputError(
                f"'{self.path}': frame {self.num_frames} is {size[0]}x{size[1]}, but the first is {width}x{height}"
            )
        bgr = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2BGR)
        self._writer.write(cv2.copyMakeBorder(bgr, 0, size[1] % 2, 0, size[0] % 2, cv2.BORDER_REPLICATE))
        self.num_frames += 1

    def _start(self) -> cv2.VideoWriter:
        """Open the encoder, in a folder of its own."""
        size = (self._size[0] + self._size[0] % 2, self._size[1] + self._size[1] % 2)
        self._folder = tempfile.TemporaryDirectory(prefix='mmfas-video-')
        with quiet_video():
            writer = cv2.VideoWriter(self._unfinished, cv2.VideoWriter.fourcc(*'mp4v'), self.fps, size)
        if not writer.isOpened():
            raise FileError(f"'{self.path}': this OpenCV cannot write an mp4v video of {size[0]}x{size[1]} pixels")
        return writer

    @property
    def _unfinished(self) -> str:
        """Path of the file that is being written."""
        assert self._folder is not None
        return str(Path(self._folder.name, 'video.mp4'))

    def close(self) -> None:
        """Finish the file and put it in its place; without a frame there is none."""
        try:
            if self._writer is not None:
                self._writer.release()
                self._require_whole()
                with open(self._unfinished, 'rb') as source, atomic_file(self.path) as target:
                    shutil.copyfileobj(source, target)
        finally:
            self._discard()

    def _require_whole(self) -> None:
        """Raise if the file lacks frames: OpenCV does not say that a disk is full."""
        with quiet_video():
            source = cv2.VideoCapture(self._unfinished)
            count = int(source.get(cv2.CAP_PROP_FRAME_COUNT)) if source.isOpened() else 0
            source.release()
        if count < self.num_frames:
            place = os.path.dirname(self._unfinished)
            raise FileError(
                f"'{self.path}': only {count} of {self.num_frames} frames could be written to '{place}'; free "
                'some space there, or set TMPDIR to another folder'
            )

    def _discard(self) -> None:
        """Remove what is not in its place."""
        if self._writer is not None:
            self._writer.release()
        if self._folder is not None:
            self._folder.cleanup()
        self._writer = self._folder = None

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, KeyboardInterrupt | InputError | RunError):
            self.close()
        else:
            self._discard()
