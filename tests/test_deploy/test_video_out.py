"""Annotated frames go to a video that is there completely or not at all; scores are smoothed as in evaluation."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmfas.datasets.face_crop import Square
from mmfas.deploy.bundle import Bundle
from mmfas.deploy.frames import open_frames
from mmfas.deploy.inferencer import FASInferencer
from mmfas.deploy.smoothing import ScoreSmoother
from mmfas.deploy.video import judge_frames
from mmfas.deploy.video_out import VideoWriter, annotate
from mmfas.evaluation import ScoreRules, ScoreTable
from mmfas.utils.errors import InputError, RunError
from mmfas.visualization.verdict_pictures import DECISION_COLOURS

GREY = np.full((120, 160, 3), 90, np.uint8)


@pytest.mark.parametrize('decision', DECISION_COLOURS)
def test_the_bar_has_the_colour_of_the_decision_and_holds_the_text(decision: str) -> None:
    before = GREY.copy()
    out = annotate(GREY, f'{decision} 0.93', colour=DECISION_COLOURS[decision])
    np.testing.assert_array_equal(GREY, before)
    bar = (out == DECISION_COLOURS[decision]).all(axis=2)
    assert bar[0].mean() > 0.9 and not bar[60:].any() and (out[60:] == 90).all()
    ink = out[:30][~bar[:30]]
    assert ink.size and (ink.min() < 30 or ink.max() > 230), 'letters stand out'


@pytest.mark.parametrize('size', [(24, 32), (720, 1280)])
def test_a_long_line_is_made_smaller_until_it_fits(size: tuple[int, int]) -> None:
    long = annotate(np.zeros((*size, 3), np.uint8), 'not judged: no face was found in the rgb picture ' * 2)
    last = np.flatnonzero((long[:, -1] == (110, 110, 110)).all(axis=1))
    np.testing.assert_array_equal(last, np.arange(len(last)), 'letters do not reach the last column')
    assert 3 < len(last) < size[0] / 2
    np.testing.assert_array_equal(annotate(GREY, 'caf\u00e9\n'), annotate(GREY, 'caf??'))


def test_the_square_of_the_crop_is_drawn() -> None:
    out = annotate(GREY, '', colour=(255, 0, 0), square=Square((80, 70), 40))
    assert out[70, 60].tolist() == out[90, 80].tolist() == [255, 0, 0] and out[70, 80].tolist() == [90, 90, 90]


@pytest.mark.skipif(sys.platform == 'win32', reason='no limit of file sizes')
def test_a_video_that_a_full_disk_cut_off_is_refused(tmp_path: Path) -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    try:
        cut_off = pytest.raises(OSError, match=r"a.mp4': only 0 of 6 frames could be written to '.*'; free some")
        with cut_off, VideoWriter(tmp_path / 'a.mp4', fps=25) as writer:
            resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
            for _ in range(6):
                writer.write(noise)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('size', [(48, 64), (47, 63)])
def test_a_video_is_written_and_read_again(size: tuple[int, int], tmp_path: Path) -> None:
    path = tmp_path / 'out' / 'a.mp4'
    with VideoWriter(path, fps=12.5) as writer:
        for number in range(6):
            writer.write(np.full((*size, 3), (40 * number, 100, 30), np.uint8))
        assert not path.exists()
    with open_frames(path) as source:
        assert source.fps == 12.5
        frames = list(source)
    assert len(frames) == 6 == writer.num_frames
    assert frames[0].pictures['rgb'].shape == (48, 64, 3)
    for frame in frames:
        assert np.abs(frame.pictures['rgb'].mean(axis=(0, 1)) - (40 * frame.number, 100, 30)).max() < 12
    assert [entry.name for entry in path.parent.iterdir()] == ['a.mp4']


def test_a_bug_leaves_no_video_but_ctrl_c_and_a_broken_source_leave_what_was_written(tmp_path: Path) -> None:
    cases = ((RuntimeError, False), (KeyboardInterrupt, True), (InputError, True), (RunError, True))
    for error, expected in cases:
        path = tmp_path / f'{error.__name__}.mp4'
        with pytest.raises(error), VideoWriter(path, fps=10) as writer:
            writer.write(GREY)
            raise error
        assert path.exists() is expected
    with VideoWriter(tmp_path / 'none.mp4', fps=10):
        pass
    assert not (tmp_path / 'none.mp4').exists()


def test_a_frame_that_cannot_be_read_is_not_judged_and_the_rest_is(
    bundle: Bundle, faces: Path, tmp_path: Path
) -> None:
    pictures = sorted((faces / 'WMCA-Image').rglob('color/*'))[:3]
    recording = tmp_path / 'recording'
    recording.mkdir()
    for number, picture in enumerate(pictures):
        (recording / f'rgb_{number:03d}{picture.suffix}').write_bytes(picture.read_bytes())
    broken = recording / f'rgb_001{pictures[1].suffix}'
    broken.write_bytes(broken.read_bytes()[:99])
    whole = FASInferencer(bundle)
    verdicts = list(judge_frames(whole, recording, out_video=tmp_path / 'out.mp4'))
    assert [verdict.sample_id for verdict in verdicts] == [f'recording:{number}' for number in range(3)]
    assert [verdict.code for verdict in verdicts] == ['', 'unreadable', '']
    assert broken.name in verdicts[1].reason and verdicts[1].score is None
    with open_frames(tmp_path / 'out.mp4') as source:
        assert len(list(source)) == 3


def test_a_source_without_what_the_bundle_needs_is_refused_before_the_first_frame(
    bundle: Bundle, tmp_path: Path
) -> None:
    np.savez(tmp_path / 'colour.npz', rgb=np.zeros((2, 48, 48, 3), np.uint8))
    (tmp_path / 'dark').mkdir()
    cv2.imwrite(str(tmp_path / 'dark' / 'ir_000.png'), GREY[..., 0])
    needs_all = FASInferencer(replace(bundle, optional=('ir',)), 'cpu', self_test=False)
    for source, sentence in (
        ('colour.npz', 'has rgb alone, but the bundle cannot do without depth: give a recording that has it'),
        ('dark', 'has ir alone, but the bundle cannot do without rgb and depth'),
    ):
        with pytest.raises(ValueError, match=sentence):
            next(judge_frames(needs_all, tmp_path / source))


def test_wrong_names_rates_and_sizes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a\.avi': videos are written as \.mp4"):
        VideoWriter(tmp_path / 'a.avi', fps=10)
    with pytest.raises(ValueError, match='fps must be above 0 and at most 1000, got 0'):
        VideoWriter(tmp_path / 'a.mp4', fps=0)
    match = 'frame 1 is 80x120, but the first is 160x120'
    with pytest.raises(ValueError, match=match), VideoWriter(tmp_path / 'a.mp4', fps=10) as writer:
        writer.write(GREY)
        writer.write(GREY[:, :80])


@pytest.mark.parametrize('reduction', ['mean', 'median', 'max'])
def test_a_window_as_long_as_the_video_gives_the_score_of_the_evaluation(reduction: str) -> None:
    scores = np.random.default_rng(0).random(9)
    rules = ScoreRules(level='video', frame_reduction=reduction)
    table = ScoreTable.from_records(
        [{'sample_id': f'v/{n}', 'score': float(s), 'label': 1, 'video': 'v'} for n, s in enumerate(scores)]
    )
    for window in (9, 0, 20):
        smoother = ScoreSmoother(rules, window)
        values = [smoother.add(float(score)) for score in scores]
        assert values[-1] == rules.reduce(table).score[0]
    assert values[0] == scores[0]


def test_a_short_window_forgets_and_frames_without_a_verdict_take_a_place_but_have_no_say() -> None:
    smoother = ScoreSmoother(ScoreRules(), 2)
    assert [smoother.add(score) for score in (0.5, 1.0, None, None, 0.25)] == [0.5, 0.75, 1.0, None, 0.25]
    smoother.reset()
    assert smoother.add(None) is None
    with pytest.raises(ValueError, match=r'window must be 0 \(all frames\) or more, got -1'):
        ScoreSmoother(ScoreRules(), -1)
