"""`mmfas predict`: options that fit the source, results that survive a stop, folders that are watched."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmfas.cli.bundle import main as bundle_main
from mmfas.cli.predict import main as predict_main
from mmfas.deploy.bundle import Bundle
from mmfas.deploy.golden_sample import rendered_triple
from mmfas.deploy.inferencer import FASInferencer
from mmfas.deploy.inputs import read_inputs
from mmfas.deploy.predicting import judge_to_file, watch_folder
from mmfas.deploy.verdict import Verdict
from mmfas.deploy.verdict_files import show_picture

pytestmark = pytest.mark.engine

LIVE = rendered_triple()


@pytest.fixture(scope='module')
def inferencer(bundle: Bundle) -> FASInferencer:
    """Inferencer of a bundle that must have rgb."""
    return FASInferencer(bundle, 'cpu')


def write(folder: Path, name: str, *modalities: str) -> None:
    """Write pictures of a rendered triple."""
    for modality in modalities:
        picture = LIVE[modality]
        cv2.imwrite(str(folder / f'{name}_{modality}.png'), picture[..., ::-1] if picture.ndim == 3 else picture)


def watched(
    inferencer: FASInferencer, folder: Path, num: int, *steps: Callable[[], object], seconds: float = 10.0
) -> list[Verdict]:
    """Watch a folder until there are so many verdicts; a step is taken at the start and after every verdict."""
    waiting, found, until = list(steps), [], time.monotonic() + seconds
    for verdict in watch_folder(
        inferencer, folder, interval_s=0.05, is_over=lambda: len(found) >= num or time.monotonic() > until
    ):
        found.append(verdict)
        if waiting:
            waiting.pop(0)()
    return found


@pytest.mark.parametrize(
    ('arguments', 'sentence'),
    [
        (['--watch', 'F', '--out', 'v.csv'], '--out has no effect with --watch'),
        (['--watch', 'F', '--show'], '--show has no effect with --watch'),
        (['--probe', '--out-dir', 'F'], '--out-dir has no effect with --probe'),
        (['--video', 'v.mp4', '--batch-size', '2'], '--batch-size has no effect with --video'),
        (['--camera', '0', '--out', 'v.csv'], '--out has no effect with --camera'),
        (['F', '--window', '0'], '--window has no effect with INPUT'),
        (['--rgb', 'a.png', '--out-video', 'o.mp4'], '--out-video has no effect with INPUT'),
        (['F', '--max-frames', '3'], '--max-frames has no effect with INPUT'),
        (['--video', 'v.mp4', '--max-frames', '0'], '--max-frames: must be an integer of at least 1'),
        (['--video', 'v.mp4', '--window', '-1'], '--window: must be an integer of at least 0'),
        (['F', '--batch-size', '0'], '--batch-size: must be an integer of at least 1'),
        (['F', '--fps', '10'], '--fps has no effect with INPUT'),
        (['--camera', '0', '--fps', '10'], '--fps has no effect with --camera'),
        (['F', '--camera', '0'], 'give one thing to judge'),
    ],
)
def test_options_without_effect_are_refused_before_work_starts(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        predict_main(['nothing.pth', *arguments])
    assert stopped.value.code == 2 and sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ('arguments', 'sentence'),
    [
        (['--show', 'b.pth', '--dev-scores', 'd.csv', '--max-apcer', '0'], 'leave out --dev-scores, --max-apcer'),
        (['c.py', 'e.pth', '--show', 'b.pth'], '--show makes nothing: leave out CONFIG, CHECKPOINT'),
        (['--show', 'b.pth', '--optional'], 'leave out --optional'),
        (['c.py', 'e.pth', '--out', 'b.pth', '--detector', 'X'], '--detector is for faces that --crop'),
        (['c.py', 'e.pth', '--out', 'b.pth', '--crop-like', 'd', '--align', 'none'], '--align is for faces that'),
        (['c.py', 'e.pth', '--out', 'b.pth', '--crop-like', 'd', '--crop-margin', '0'], 'has a margin already'),
        (['c.py', 'e.pth', '--out', 'b.onnx'], '--out: a bundle ends in .pth or .safetensors, got b.onnx'),
    ],
)
def test_options_that_do_not_fit_a_bundle_are_refused_before_work_starts(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        bundle_main(arguments)
    assert sentence in capsys.readouterr().err


def test_a_stopped_run_does_not_go_on_with_another_gate(bundle: Bundle, tmp_path: Path) -> None:
    samples, out = read_inputs([dict(LIVE, sample_id=str(i)) for i in range(2)]), tmp_path / 'v.csv'

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        judge_to_file(FASInferencer(bundle, 'cpu'), samples, out, show=stop)
    with pytest.raises(ValueError, match='quality_gate'):
        judge_to_file(FASInferencer(bundle, 'cpu', quality_gate=False), samples, out)
    assert len(judge_to_file(FASInferencer(bundle, 'cpu'), samples, out)) == 2


def test_a_watched_folder_is_judged_as_files_appear(inferencer: FASInferencer, tmp_path: Path) -> None:
    write(tmp_path, 'a', *LIVE)
    found = watched(inferencer, tmp_path, 2, lambda: write(tmp_path, 'b', *LIVE))
    assert [verdict.sample_id for verdict in found] == ['a', 'b']


def test_a_half_written_file_is_judged_again_when_it_is_whole(inferencer: FASInferencer, tmp_path: Path) -> None:
    write(tmp_path, 'a', 'rgb')
    file = tmp_path / 'a_rgb.png'
    content = file.read_bytes()
    file.write_bytes(content[:500])
    found = watched(inferencer, tmp_path, 2, lambda: file.write_bytes(content))
    assert [verdict.code for verdict in found] == ['unreadable', '']
    assert found[1].score == inferencer.judge_pictures({'rgb': LIVE['rgb']}).score


def test_a_later_camera_makes_a_new_verdict(inferencer: FASInferencer, tmp_path: Path) -> None:
    write(tmp_path, 'a', 'depth')  # rgb must be there: no verdict before it
    write(tmp_path, 'b', 'rgb')
    found = watched(
        inferencer, tmp_path, 3, lambda: write(tmp_path, 'b', 'ir'), lambda: write(tmp_path, 'a', 'rgb')
    )
    assert [(verdict.sample_id, verdict.modalities) for verdict in found] == [
        ('b', ('rgb',)),
        ('b', ('rgb', 'ir')),
        ('a', ('rgb', 'depth')),
    ]


def test_files_from_a_clock_that_is_ahead_are_judged(inferencer: FASInferencer, tmp_path: Path) -> None:
    write(tmp_path, 'a', 'rgb')
    os.utime(tmp_path / 'a_rgb.png', (time.time() + 3600,) * 2)
    assert [verdict.sample_id for verdict in watched(inferencer, tmp_path, 1)] == ['a']


def test_a_folder_that_cannot_be_watched_any_more_ends_the_watch(
    inferencer: FASInferencer, tmp_path: Path
) -> None:
    (tmp_path / 'in').mkdir()
    write(tmp_path / 'in', 'a', 'rgb')
    with pytest.raises(ValueError, match='are both rgb of one sample'):
        watched(inferencer, tmp_path / 'in', 2, lambda: (tmp_path / 'in' / 'a_color.png').write_bytes(b'x'))
    (tmp_path / 'in' / 'a_color.png').unlink()
    with pytest.raises(FileNotFoundError, match='in'):
        watched(inferencer, tmp_path / 'in', 2, lambda: (tmp_path / 'in').rename(tmp_path / 'out'))


def test_a_file_is_no_folder_to_watch(inferencer: FASInferencer, tmp_path: Path) -> None:
    write(tmp_path, '1', 'rgb')
    (file,) = tmp_path.iterdir()
    with pytest.raises(ValueError, match=f"'{file}' is a file; --watch takes a folder"):
        watched(inferencer, file, num=1)


@pytest.mark.parametrize(
    ('header', 'message'),
    [
        ('sample_id,rgb,deph', "has a column 'deph'; did you mean 'depth'"),
        ('rgb,depth,nir', "has a column 'nir'; did you mean 'ir'"),
        ('rgb,RGB', "has a column 'RGB'; did you mean 'rgb'"),
        ('rgb,rgb', "has more than one column 'rgb'"),
    ],
)
def test_a_misspelt_column_is_not_passed_over(header: str, message: str, tmp_path: Path) -> None:
    (tmp_path / 'list.csv').write_text(f'{header}\n{",".join("x.png" for _ in header.split(","))}\n')
    with pytest.raises(ValueError, match=message):
        list(read_inputs(tmp_path / 'list.csv'))


def test_pictures_of_all_readable_kinds_are_found_in_folders(tmp_path: Path) -> None:
    for name in ('1_rgb.png', '1_depth.pgm', '1_ir.PGM', '2_rgb.ppm'):
        (tmp_path / name).touch()
    assert [sorted(sample.pictures) for sample in read_inputs(tmp_path)] == [['depth', 'ir', 'rgb'], ['rgb']]


def test_pictures_are_not_shown_without_a_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ('DISPLAY', 'WAYLAND_DISPLAY'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr('mmfas.deploy.verdict_files.sys.platform', 'linux')
    with pytest.raises(RuntimeError, match='there is no screen to show pictures on'):
        show_picture(np.zeros((4, 4, 3), np.uint8), 'verdict')
