"""Judging frames one after the other: videos, cameras and recordings, with scores smoothed over frames."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np

from mmfas.deploy.frames import BrokenFrameError, Frame, FrameSource, open_frames
from mmfas.deploy.inferencer import FASInferencer
from mmfas.deploy.smoothing import ScoreSmoother
from mmfas.deploy.verdict import Verdict, not_judged
from mmfas.deploy.verdict_files import show_picture
from mmfas.deploy.video_out import VideoWriter, annotate
from mmfas.evaluation import ScoreRules
from mmfas.utils.errors import InputError
from mmfas.visualization.verdict_pictures import DECISION_COLOURS

__all__ = ['judge_frames', 'smoothed']


def judge_frames(
    inferencer: FASInferencer,
    source: str | Path | int,
    *,
    window: int = 1,
    max_frames: int | None = None,
    out_video: str | Path | None = None,
    show: bool = False,
    fps: float | None = None,
) -> Iterator[Verdict]:
    """Judge the frames of a video, camera or recording as they come.

    Args:
        inferencer: What judges.
        source: As `open_frames` takes it.
        window: Frames whose scores are joined, by the reduction of the bundle; 0 for all since the start.
        max_frames: Frames to judge; all if None.
        out_video: `.mp4` file for the frames with their verdicts.
        show: Show them in a window.
        fps: Frames per second of a folder or `.npz`.

    Yields:
        One verdict per frame; score and decision are those of the window, named by the number of the frame. A
        frame of a folder that cannot be read is not judged.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the source is broken, or has no picture of a modality that the bundle needs.
        RuntimeError: If the camera cannot be opened.
    """
    smoother = ScoreSmoother(ScoreRules(frame_reduction=inferencer.bundle.decision.frame_reduction), window)
    with ExitStack() as stack:
        frames = stack.enter_context(open_frames(source, fps=fps))
        _require(frames, inferencer)
        writer = None if out_video is None else stack.enter_context(VideoWriter(out_video, fps=frames.fps))
        size = None
        for frame in islice(_all_frames(frames), max_frames):
            name = f'{Path(str(source)).name}:{frame.number}'
            if isinstance(frame, Frame):
                verdict = inferencer.judge_pictures(frame.pictures, name)
            else:
                verdict = not_judged(name, inferencer.bundle.decision, code='unreadable', reason=str(frame))
            verdict = smoothed(verdict, smoother, inferencer)
            if writer is not None or show:
                picture = _annotated(frame, verdict, size)
                size = size if picture is None else picture.shape[:2]
                if picture is not None and writer is not None:
                    writer.write(picture)
                if picture is not None and show:
                    show_picture(picture, str(source), wait_ms=1)
            yield verdict


def _require(source: FrameSource, inferencer: FASInferencer) -> None:
    """Refuse a source of which no frame could be judged: a camera would deliver them without end."""
    missing = inferencer.bundle.missing(dict.fromkeys(source.modalities))
    if missing:
        raise InputError(
            f'{source.name} has {" and ".join(source.modalities)} alone, but the bundle cannot do without '
            f'{" and ".join(missing)}: give a recording that has it, or make the bundle with --optional'
        )


def _all_frames(source: FrameSource) -> Iterator[Frame | BrokenFrameError]:
    """Walk through a source, with the error of a frame that cannot be read in its place."""
    while True:
        try:
            yield next(source)
        except BrokenFrameError as error:
            yield error
        except StopIteration:
            return


def smoothed(verdict: Verdict, smoother: ScoreSmoother, inferencer: FASInferencer) -> Verdict:
    """Return the verdict on a frame and those before it.

    Args:
        verdict: That on the frame alone.
        smoother: What holds the scores before it.
        inferencer: For the rule that decides.
    """
    score = smoother.add(verdict.score)
    if verdict.score is None or score is None:
        return verdict
    rule = inferencer.bundle.decision
    return replace(
        verdict,
        score=score,
        margin=score - rule.threshold,
        decision=rule.decide(score),
        probability=rule.probability(score),
    )


def _annotated(
    frame: Frame | BrokenFrameError, verdict: Verdict, size: tuple[int, int] | None
) -> np.ndarray | None:
    """Write a verdict on the first picture of a frame; on black of the size before it, if there is none."""
    if isinstance(frame, Frame):
        picture = next(iter(frame.pictures.values()))
    elif size is not None:
        picture = np.zeros((*size, 3), np.uint8)
    else:
        return None
    if picture.ndim == 2:
        grey = picture if picture.dtype == np.uint8 else (picture >> 8).astype(np.uint8)
        picture = np.repeat(grey[..., None], 3, axis=2)
    text = (
        f'{verdict.decision} {verdict.score:.3f}' if verdict.score is not None else f'not judged: {verdict.code}'
    )
    return annotate(picture, text, colour=DECISION_COLOURS[verdict.decision])
