"""The gate refuses pictures that show nothing or one thing twice, and says which; good recordings pass."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mmfas.datasets.transforms import LoadMultiModalImages
from mmfas.datasets.transforms.loading import LoadedFile
from mmfas.deploy.quality import Refusal, judge_quality, quality_notes
from mmfas.structures import MODALITIES
from mmfas.synthfas import SIZES, Setting, plan_split, render_video

RNG = np.random.default_rng(0)
LOADER = LoadMultiModalImages(depth_range_mm=(300, 1500), ir_range=(0, 1023))


def noise(shape: tuple[int, ...], low: int, high: int) -> np.ndarray:
    """Return smooth random values between two, with full contrast."""
    raw = cv2.GaussianBlur(RNG.random(shape, dtype=np.float32), (0, 0), 2)
    raw = (raw - raw.min()) / np.ptp(raw)
    return np.rint(low + (high - low) * raw).astype(np.uint8 if high < 256 else np.uint16)


COLOUR, DEPTH, INFRARED = noise((48, 40, 3), 20, 240), noise((48, 40), 500, 900), noise((48, 40), 100, 800)
GOOD = {'rgb': COLOUR, 'depth': DEPTH, 'ir': INFRARED}


def part(picture: np.ndarray, fraction: float, value: int) -> np.ndarray:
    """Return a picture with a fraction of its pixels at one value."""
    picture = picture.copy()
    picture.reshape(-1, *picture.shape[2:])[: round(fraction * picture.shape[0] * picture.shape[1])] = value
    return picture


def judge(loader: LoadMultiModalImages = LOADER, **changes: Any) -> tuple[list[Refusal], list[Refusal]]:
    """Load pictures from memory, and return refusals and notes."""
    files: list[LoadedFile] = []
    arrays = {name: given for name, given in {**GOOD, **changes}.items() if given is not None}
    loader.load({'img_arrays': arrays, 'modalities': MODALITIES, 'sample_id': 'x'}, files.append)
    return judge_quality(files, loader), quality_notes(files, loader)


def test_good_pictures_pass_without_a_note() -> None:
    assert judge() == ([], [])
    assert judge(depth=None, ir=None) == ([], [])


@pytest.mark.parametrize(
    ('changes', 'code', 'message'),
    [
        ({'rgb': COLOUR * 0}, 'no content', 'the rgb picture is black: 99% of its values are at most 8 of 255'),
        ({'ir': noise((48, 40), 0, 8)}, 'no content', 'the ir picture is black'),
        ({'rgb': COLOUR * 0 + 255}, 'no content', 'the rgb picture is white (255..255)'),
        ({'rgb': COLOUR * 0 + 90}, 'no content', 'the rgb picture shows one value all over (90..90)'),
        ({'ir': INFRARED * 0}, 'no content', 'the ir picture is black'),
        ({'ir': noise((48, 40), 60, 62)}, 'no content', 'the ir picture shows one value all over (60..6'),
        ({'depth': DEPTH * 0 + 700}, 'no content', 'the depth picture shows one value all over after'),
        ({'rgb': part(COLOUR, 0.8, 255)}, 'saturated', 'the rgb picture is saturated: 80% of its values are 255'),
        ({'ir': part(noise((48, 40), 0, 200), 0.8, 255)}, 'saturated', 'the ir picture is saturated'),
        ({'ir': part(INFRARED, 0.8, 4000)}, 'saturated', 'the ir picture is saturated: 80% of its values'),
        ({'ir': INFRARED + 3000}, 'outside the range', 'the ir picture has one value (255) after ir_range='),
        ({'depth': DEPTH * 10}, 'outside the range', 'the depth picture has one value (255) after'),
        ({'depth': DEPTH // 10}, 'outside the range', 'give the range in the unit of the files'),
        ({'depth': DEPTH * 0}, 'no depth', 'the depth picture has readings in 0.0% of its pixels, but'),
        ({'depth': part(DEPTH, 0.97, 65535)}, 'no depth', 'the depth picture has readings in 3.0% of its pixels'),
        ({'depth': part(noise((48, 40), 9, 255), 0.96, 5)}, 'no depth', 'the depth picture has readings in 4.0%'),
        ({'rgb': COLOUR, 'ir': COLOUR.copy()}, 'one file twice', 'rgb and ir show the same picture, pixel'),
        ({'depth': DEPTH, 'ir': DEPTH}, 'one file twice', 'depth and ir show the same picture'),
    ],
)  # fmt: skip
def test_what_is_not_judged(changes: dict[str, Any], code: str, message: str) -> None:
    refusals, _ = judge(**changes)
    assert [found.code for found in refusals] == [code]
    assert message in refusals[0].message
    assert all(modality in refusals[0].message for modality in refusals[0].modality.split(' and '))


@pytest.mark.parametrize(
    ('changes', 'code', 'message'),
    [
        (
            {'rgb': part(COLOUR, 0.6, 255)},
            'saturated',
            'the rgb picture is saturated: at least half of its values are',
        ),
        (
            {'depth': noise((48, 40), 900, 2600)},
            'clipped',
            'the depth picture has at least half of its raw values (9',
        ),
        ({'depth': part(noise((48, 40), 20, 200), 0.6, 255)}, 'saturated', 'the depth picture is saturated'),
        (
            {'depth': part(DEPTH, 0.3, 65535)},
            'no reading',
            'the depth picture has the raw value 65535 in at',
        ),
        ({'depth': part(DEPTH, 0.3, 2047)}, 'no reading', 'if it means "no reading", name it in no_reading'),
    ],
)
def test_what_is_only_noted(changes: dict[str, Any], code: str, message: str) -> None:
    refusals, notes = judge(**changes)
    assert refusals == []
    assert [note.code for note in notes] == [code] and message in notes[0].message


def test_dark_infrared_with_much_below_its_range_is_only_noted() -> None:
    refusals, notes = judge(LoadMultiModalImages(depth_range_mm=(300, 1500), ir_range=(500, 1023)))
    assert refusals == [] and [note.code for note in notes] == ['clipped']


def test_several_reasons_are_all_named() -> None:
    refusals, _ = judge(rgb=COLOUR * 0, depth=DEPTH * 0, ir=INFRARED * 0)
    assert {found.modality: found.code for found in refusals} == {
        'rgb': 'no content',
        'depth': 'no depth',
        'ir': 'no content',
    }


@pytest.mark.parametrize(
    ('name', 'message'),
    [('link', 'are one file'), ('copy', 'are copies of one file'), ('bytes', 'are copies of one file')],
)
def test_files_and_bytes_twice(name: str, message: str, tmp_path: Path) -> None:
    rgb, ir = tmp_path / 'rgb.png', tmp_path / 'ir.png'
    cv2.imwrite(str(rgb), COLOUR)
    if name == 'link':
        os.symlink(rgb, ir)
    else:
        ir.write_bytes(rgb.read_bytes())
    files: list[LoadedFile] = []
    sample: dict[str, Any] = {
        'modalities': MODALITIES,
        'sample_id': 'x',
        'img_paths': {'rgb': str(rgb), 'ir': str(ir)},
    }
    if name == 'bytes':
        sample['img_arrays'] = {key: Path(path).read_bytes() for key, path in sample.pop('img_paths').items()}
    LOADER.load(sample, files.append)
    (found,) = judge_quality(files, LOADER)
    assert found == Refusal('one file twice', 'rgb and ir', f'rgb and ir {message}')


def test_different_bytes_in_memory_are_not_called_one_file() -> None:
    encoded = {name: cv2.imencode('.png', picture)[1].tobytes() for name, picture in GOOD.items()}
    assert judge(**encoded) == ([], [])


def test_no_live_sample_of_synthfas_is_refused() -> None:
    setting = Setting('tiny')
    refused = []
    for domain in 'CPSW':
        plans = [plan for plan in plan_split(setting, domain, 'test') if plan.pai == 'live'][:6]
        for plan in plans:
            frame = render_video(plan, setting)[0]
            refused += judge(rgb=frame.rgb, depth=frame.depth, ir=frame.ir)[0]
    assert SIZES['tiny'].pixels < 128 and refused == []
