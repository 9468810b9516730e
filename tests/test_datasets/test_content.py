"""verify_dataset says what pictures that decode do not show, with counts and the first line, list by list."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmfas.cli.data.verify import main as verify_main

from .data_files import smooth_image
from .image_writers import encoded, exif, with_exif

CONFIG = """
pipeline = [dict(type='LoadMultiModalImages', {arguments}), dict(type='PackFASInputs')]
train_dataloader = dict(dataset=dict(
    type='MultiModalFaceDataset', ann_file={lists!r}, data_root='.', pipeline=pipeline))
"""
NUM = 4


def rng(number: int) -> np.random.Generator:
    """Random numbers of one sample."""
    return np.random.default_rng(number)


def write_list(name: str, writers: dict[str, Callable[[int], np.ndarray | bytes]]) -> None:
    """Write pictures and a list of `NUM` samples; a writer returns a picture or the content of a file."""
    lines = [','.join([*writers, 'label'])]
    for number in range(NUM):
        paths = []
        for modality, writer in writers.items():
            made = writer(number)
            path = Path(f'{Path(name).stem}_{modality}{number}.png')
            path.write_bytes(made if isinstance(made, bytes) else cv2.imencode('.png', made)[1].tobytes())
            paths.append(str(path))
        lines.append(','.join([*paths, str(number % 2)]))
    Path(name).write_text('\n'.join(lines))


def verify(capsys: pytest.CaptureFixture[str], lists: list[str], arguments: str = '') -> tuple[int, str]:
    """Run the command on lists of one split."""
    Path('config.py').write_text(CONFIG.format(arguments=arguments, lists=lists))
    status = verify_main(['config.py', '--splits', 'train'])
    return status, capsys.readouterr().out


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder of its own."""
    monkeypatch.chdir(tmp_path)


def colour(number: int) -> np.ndarray:
    """Return a picture with content."""
    return smooth_image(number)


def constant(value: int, noise: int = 0) -> Callable[[int], np.ndarray]:
    """Return a writer of grey pictures of one value, or nearly."""
    return lambda number: rng(number).integers(value, value + noise + 1, (32, 40)).astype(np.uint8)


def depth_mm(low: int, high: int, *, part: float = 0.0, value: int = 0) -> Callable[[int], np.ndarray]:
    """Return a writer of 16-bit depth between two values, with part of its pixels at another."""

    def write(number: int) -> np.ndarray:
        depth = rng(number).integers(low, high, (32, 40)).astype(np.uint16)
        depth.reshape(-1)[: int(part * depth.size)] = value
        return depth

    return write


def test_sound_pictures_give_no_word(capsys: pytest.CaptureFixture[str]) -> None:
    write_list('a.csv', {'rgb': colour, 'depth': depth_mm(500, 900, part=0.4), 'ir': lambda n: colour(n + 20)})
    assert verify(capsys, ['a.csv'], 'depth_range_mm=(300, 1500)') == (0, '4 samples checked: no problems\n')


@pytest.mark.parametrize(
    ('writer', 'message'),
    [
        (constant(0), r'4 of 4 ir pictures are black (0..0)'),
        (constant(0, 3), r'4 of 4 ir pictures are black (0..3)'),
        (constant(255), r'4 of 4 ir pictures are white (255..255)'),
        (constant(128), r'4 of 4 ir pictures show one value all over (128..128)'),
        (lambda number: encoded(constant(77, 2)(number), 'JPEG'), r'4 of 4 ir pictures show one value all over'),
    ],
)
def test_pictures_without_content_are_a_problem(
    writer: Callable[[int], np.ndarray], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_list('a.csv', {'rgb': colour, 'ir': writer})
    status, out = verify(capsys, ['a.csv'])
    assert status == 1
    assert f'no content: 1\n  train (a.csv:2): {message}' in out


def test_black_rgb_of_16_bits_that_hold_12(capsys: pytest.CaptureFixture[str]) -> None:
    write_list('a.csv', {'rgb': lambda n: rng(n).integers(0, 1024, (32, 40, 3)).astype(np.uint16)})
    status, out = verify(capsys, ['a.csv'])
    assert status == 1 and '4 of 4 rgb pictures are black (0..3)' in out


def test_one_black_picture_of_several_is_a_warning_with_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    write_list('a.csv', {'rgb': colour, 'ir': lambda n: colour(n + 9) if n != 2 else constant(0)(n)})
    status, out = verify(capsys, ['a.csv'])
    assert status == 0
    assert 'warning, no content: 1\n  train (a.csv:4): 1 of 4 ir pictures are black (0..0)' in out
    assert '4 samples checked: no problems, 1 warning(s)' in out


def test_lists_are_counted_one_by_one(capsys: pytest.CaptureFixture[str]) -> None:
    write_list('a.csv', {'rgb': colour, 'ir': lambda n: colour(n + 9) if n else constant(0)(n)})
    write_list('b.csv', {'rgb': lambda n: colour(n + 30), 'ir': constant(0)})
    status, out = verify(capsys, ['a.csv', 'b.csv'])
    assert status == 1
    assert 'train (a.csv:2): 1 of 4 ir' in out and 'train (b.csv:2): 4 of 4 ir' in out


@pytest.mark.parametrize(
    ('low', 'high', 'becomes', 'span', 'where'),
    [
        (4000, 9000, 255, '(4', 'above'),  # 0.1 mm
        (30, 150, 0, '(30..149)', 'below'),  # cm
        (1, 3, 0, '(1..2)', 'below'),  # m
    ],
)
def test_depth_in_another_unit(
    low: int, high: int, becomes: int, span: str, where: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_list('a.csv', {'rgb': colour, 'depth': depth_mm(low, high, part=0.3)})
    status, out = verify(capsys, ['a.csv'], 'depth_range_mm=(300, 1500)')
    assert status == 1
    head = (
        f'4 of 4 depth pictures have one value ({becomes}) after depth_range_mm=(300, 1500): all raw values {span}'
    )
    assert f'outside the range: 1\n  train (a.csv:2): {head}' in out
    assert f') lie {where} it; give the range in the unit of the files' in out


def test_a_few_stray_readings_inside_do_not_hide_another_unit(capsys: pytest.CaptureFixture[str]) -> None:
    write_list('a.csv', {'depth': depth_mm(4000, 9000, part=0.005, value=700)})
    status, out = verify(capsys, ['a.csv'], 'depth_range_mm=(300, 1500)')
    assert status == 1 and 'nearly all raw values (700..89' in out


def test_infrared_out_of_its_range(capsys: pytest.CaptureFixture[str]) -> None:
    write_list('a.csv', {'rgb': colour, 'ir': depth_mm(3000, 60000)})
    status, out = verify(capsys, ['a.csv'], 'ir_range=(0, 1023)')
    assert status == 1 and '4 of 4 ir pictures have one value (255) after ir_range=(0, 1023)' in out


def test_depth_that_is_clipped_for_the_most_part(capsys: pytest.CaptureFixture[str]) -> None:
    write_list('a.csv', {'depth': depth_mm(500, 900, part=0.7, value=2500)})
    status, out = verify(capsys, ['a.csv'], 'depth_range_mm=(300, 1500)')
    assert (
        status == 0 and 'warning, clipped: 1\n  train (a.csv:2): 4 of 4 depth pictures have at least half' in out
    )


def test_saturated_pictures(capsys: pytest.CaptureFixture[str]) -> None:
    write_list('a.csv', {'rgb': lambda n: np.where(np.arange(40)[:, None] < 24, np.uint8(255), colour(n))})
    status, out = verify(capsys, ['a.csv'])
    assert status == 0 and 'warning, saturated: 1\n  train (a.csv:2): 4 of 4 rgb pictures are saturated' in out


@pytest.mark.parametrize(
    ('value', 'no_reading', 'message'),
    [
        (65535, (0, 65535), 'no_reading=(0, 65535) makes it black'),
        (65535, (0,), 'name it in no_reading, for now it is the farthest distance'),
        (2047, (0, 65535), 'name it in no_reading'),
        (2047, (0, 2047), 'no_reading=(0, 2047) makes it black'),
    ],
)
def test_a_value_for_no_reading(
    value: int, no_reading: tuple[int, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_list('a.csv', {'depth': depth_mm(500, 900, part=0.3, value=value)})
    status, out = verify(capsys, ['a.csv'], f'depth_range_mm=(300, 1500), no_reading={no_reading}')
    assert status == 0
    assert f'warning, no reading: 1\n  train (a.csv:2): 4 of 4 depth pictures have the raw value {value}' in out
    assert message in out


def copied(name: str) -> Callable[[Path], None]:
    """Return what makes another name of the colour file."""

    def make(rgb: Path) -> None:
        target = Path(str(rgb).replace('rgb', 'ir'))
        target.unlink()
        if name == 'link':
            target.symlink_to(rgb.resolve())
        elif name == 'hard link':
            os.link(rgb, target)
        elif name == 'copy':
            shutil.copy(rgb, target)
        else:  # the same picture, written anew
            image = cv2.imread(str(rgb))
            target.write_bytes(encoded(image[..., ::-1], 'BMP'))

    return make


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('link', 'are one file'),
        ('hard link', 'are copies'),
        ('copy', 'are copies'),
        ('anew', 'show the same picture'),
    ],
)
def test_one_file_as_two_modalities(name: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    write_list('a.csv', {'rgb': colour, 'ir': lambda n: colour(n + 9)})
    for path in sorted(Path().glob('a_rgb*.png')):
        copied(name)(path)
    status, out = verify(capsys, ['a.csv'])
    assert status == 1
    assert f'one file twice: 1\n  train (a.csv:2): 4 of 4 samples: rgb and ir {message}' in out


def test_one_file_under_two_spellings_and_in_another_sample(capsys: pytest.CaptureFixture[str]) -> None:
    write_list('a.csv', {'rgb': colour, 'ir': lambda n: colour(n + 9)})
    Path('b.csv').write_text(
        'rgb,ir,label\na_rgb0.png,./a_rgb0.png,1\na_rgb2.png,a_rgb1.png,0\na_rgb1.png,a_ir3.png,0'
    )
    status, out = verify(capsys, ['b.csv'])
    assert status == 1
    assert 'train (b.csv:2): 1 of 3 samples: rgb and ir are one file' in out
    assert '1 of 3 rgb pictures are ir pictures of other samples' in out


def test_two_different_black_pictures_are_not_called_one_file(capsys: pytest.CaptureFixture[str]) -> None:
    write_list('a.csv', {'depth': constant(0), 'ir': lambda n: encoded(constant(0)(n), 'BMP')})
    assert 'one file twice' not in verify(capsys, ['a.csv'])[1]


def test_different_orientations_in_a_sample(capsys: pytest.CaptureFixture[str]) -> None:
    write_list('a.csv', {'rgb': lambda n: with_exif(encoded(colour(n), 'JPEG'), 3), 'ir': lambda n: colour(n + 9)})
    status, out = verify(capsys, ['a.csv'])
    assert status == 0 and len(exif(3)) > 20
    assert 'warning, orientation: 1\n  train (a.csv:2): 4 of 4 samples: rgb and ir carry different' in out
    assert '(rgb orientation 3, ir upright); each is obeyed' in out


def test_archives_are_looked_at_too(capsys: pytest.CaptureFixture[str]) -> None:
    lines = ['npz,label']
    for number in range(2):
        data = rng(number).random((1, 22, 16, 16), dtype=np.float32)
        data[0, 4] = 0
        np.savez(f'{number}.npz', data=data)
        lines.append(f'{number}.npz,{number}')
    Path('a.csv').write_text('\n'.join(lines))
    Path('config.py').write_text(
        CONFIG.format(arguments='', lists='a.csv').replace(
            "data_root='.'", "data_root='.', data_prefix=dict(npz='')"
        )
    )
    assert verify_main(['config.py', '--splits', 'train']) == 1
    assert '2 of 2 depth pictures are black (0..0)' in capsys.readouterr().out
