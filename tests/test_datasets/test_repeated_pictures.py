"""verify_dataset says which pictures stand in several samples, and which modality is another one in grey."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmfas.cli.data.verify import main as verify_main
from mmfas.datasets import repeated_pictures
from mmfas.datasets.repeated_pictures import RepeatedPictures

from .data_files import smooth_image
from .image_writers import encoded

NUM = 6


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder with sound samples."""
    monkeypatch.chdir(tmp_path)
    for number in range(NUM):
        for modality, seed in (('rgb', number), ('ir', number + 30)):
            smooth = smooth_image(seed, (40, 32)).astype(np.float32)
            strong = 128 + 4 * (smooth - smooth.mean())  # enough contrast to be compared in grey
            cv2.imwrite(f'{modality}{number}.png', strong.clip(0, 255).astype(np.uint8))


def verify(capsys: pytest.CaptureFixture[str], rows: list[str], name: str = 'a.csv') -> tuple[int, str]:
    """Run the command on a list; the labels alternate."""
    lines = ['rgb,ir,label', *(f'{row},{number % 2}' for number, row in enumerate(rows))]
    Path(name).write_text('\n'.join(lines))
    status = verify_main(['--lists', name])
    return status, capsys.readouterr().out


def same_path(number: int) -> str:
    return 'ir0.png'


def byte_copy(number: int) -> str:
    return str(shutil.copy('ir0.png', f'copy{number}.png'))


def pixel_copy(number: int) -> str:
    Path(f'other{number}').write_bytes(encoded(cv2.imread('ir0.png'), ('PNG', 'BMP')[number % 2]))
    return f'other{number}'


def spelled(number: int) -> str:
    return './' * number + 'ir0.png'


@pytest.mark.parametrize('make', [same_path, byte_copy, pixel_copy, spelled])
@pytest.mark.parametrize(('num', 'status', 'head'), [(6, 1, ''), (4, 1, ''), (3, 0, 'warning, ')])
def test_one_picture_in_many_samples(
    make: Callable[[int], str], num: int, status: int, head: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f'rgb{number}.png,{make(number) if number < num else f"ir{number}.png"}' for number in range(NUM)]
    got, out = verify(capsys, rows)
    assert got == status
    assert f'{head}one picture in many samples: 1\n  a.csv (a.csv:2): {num} of 6 ir pictures are not of one' in out
    assert '1 picture(s) in several samples, pixel by pixel' in out


def test_several_pictures_in_several_samples_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    status, out = verify(capsys, [f'rgb{n}.png,ir{(0, 1, 0, 1, 0, 5)[n]}.png' for n in range(NUM)])
    assert status == 0
    assert 'a.csv (a.csv:2): 5 of 6 ir pictures are not of one sample alone: 2 picture(s) in several' in out
    assert 'pixel by pixel, the most frequent one in 3' in out


def test_lines_that_repeat_a_sample_and_black_pictures_are_no_such_thing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [f'rgb{n}.png,ir{n}.png' for n in (0, 1, 0, 1, 2, 3, 0, 1)]
    assert verify(capsys, rows) == (0, '8 samples checked: no problems\n')
    cv2.imwrite('black.png', np.zeros((32, 40), np.uint8))
    status, out = verify(capsys, [f'rgb{n}.png,{"black" if n < 2 else f"ir{n}"}.png' for n in range(NUM)])
    assert 'one picture' not in out and '2 of 6 ir pictures are black' in out


def grey_of(number: int) -> np.ndarray:
    return cv2.cvtColor(cv2.imread(f'rgb{number}.png'), cv2.COLOR_BGR2GRAY)


@pytest.mark.parametrize(
    ('write', 'says'),
    [
        (lambda n: encoded(grey_of(n), 'PNG'), 'show the same picture, in colour and in grey'),
        (lambda n: encoded(np.dstack([grey_of(n)] * 3), 'BMP'), 'show the same picture, in colour and in grey'),
        (lambda n: encoded(grey_of(n), 'JPEG', quality=80), 'show the same picture, in colour and in grey'),
        (lambda n: encoded(cv2.imread(f'rgb{n}.png')[..., ::-1], 'JPEG', quality=95), 'show the same picture'),
    ],
)
def test_colour_in_grey_as_infrared(
    write: Callable[[int], bytes], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(NUM):
        Path(f'fake{number}').write_bytes(write(number))
    status, out = verify(capsys, [f'rgb{number}.png,fake{number}' for number in range(NUM)])
    assert status == 1
    assert f'one file twice: 1\n  a.csv (a.csv:2): 6 of 6 samples: rgb and ir {says}' in out


def test_grey_colour_that_is_also_infrared(capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(NUM):
        Path(f'grey{number}').write_bytes(encoded(np.dstack([grey_of(number)] * 3), 'PNG'))
        Path(f'fake{number}').write_bytes(encoded(grey_of(number), 'TIFF'))
    status, out = verify(capsys, [f'grey{number},fake{number}' for number in range(NUM)])
    assert status == 1 and '6 of 6 samples: rgb and ir show the same picture, pixel by pixel' in out


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeated_pictures, '_MOST_REMEMBERED', 10)
    repeated = RepeatedPictures()
    for number in range(100):
        repeated.add(f'a.csv:{number + 1}', number, {'rgb': number, 'ir': 7})
    assert sum(map(len, (*repeated._first.values(), repeated._samples))) <= 25
    assert [(found.modality, found.most, found.line) for found in repeated.found()] == [('ir', 100, 'a.csv:1')]
