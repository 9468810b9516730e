"""Writers of small fake originals of the four data sets, in the exact formats and layouts of their releases.

They hold what the lists of `data_files.py` name, and a little that no list names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

import cv2
import h5py
import numpy as np

from .data_files import CPSW_ARCHIVES, CPSW_IMAGES, smooth_image

#: Rows and columns of black around the frames of CeFA: top, bottom, left, right.
CEFA_BORDERS = (6, 4, 3, 9)
#: What the list name of a trial becomes in the name of its original.
PADISI_NAME = 'ID_{transaction}_{trial}_FACE_NEUTRAL_WITHOUT_GLASS.npz'
_CAPTURE = 'dab9b50ddf6e50bffb6a9a8fd4bede0f5c76ef38'


def listed_frames(letter: str) -> Iterator[tuple[str, str, int]]:
    """Yield (recording, frame, label) of a domain, none twice."""
    lines = [line for name, lines in CPSW_IMAGES.items() if name.startswith(letter) for line in lines]
    yield from dict.fromkeys(lines)


def picture(seed: int, height: int = 40, width: int = 32) -> np.ndarray:
    """Return a smooth picture (H, W, 3) of grey levels above 60, so that it has no black border."""
    return cv2.convertScaleAbs(smooth_image(seed, (width, height)), alpha=2.0, beta=-128)


def write_jpeg(path: Path, image: np.ndarray) -> None:
    """Write a JPEG into a folder that is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)


def write_cefa(root: Path, *, is_later_release: bool = False) -> None:
    """Write CeFA: `CeFA-Race/CeFA-Race/AF/AF-000/...`, or `Ethnicity/AF/AF-000-<card>/...` with `color`."""
    tops = {'CeFA-Race': 'Ethnicity', 'CeFA-Mask': 'Mask'}
    unlisted = ('CeFA/CeFA-Race/EA/EA-012/3_012_1_1_1', '0001', 1)
    for seed, (recording, frame, _) in enumerate([*listed_frames('C'), unlisted]):
        _, top, kind, subject, name = recording.split('/')
        folder = root / top / top / kind / subject / name
        if is_later_release:
            card = '-198006250024' if '-' in subject else ''
            folder = root / 'CASIA_CeFA' / tops[top] / kind / f'{subject}{card}' / name
        for offset, modality in enumerate(('color' if is_later_release else 'profile', 'depth', 'ir')):
            bordered = cv2.copyMakeBorder(picture(3 * seed + offset), *CEFA_BORDERS, cv2.BORDER_CONSTANT)
            write_jpeg(folder / modality / f'{frame}.jpg', bordered)


def write_surf(root: Path, *, is_challenge: bool = False) -> None:
    """Write SURF: `CASIA-SURF-CROP/real_part/real_train_part/...`, or `Training/real_part/...`."""
    names = {'train': 'Training', 'val': 'Val', 'test': 'Testing'}
    for seed, (recording, frame, _) in enumerate(listed_frames('S')):
        parts = recording.split('/')
        folder = root.joinpath(*parts)
        if is_challenge:
            folder = root.joinpath(names[parts[2].split('_')[1]], parts[1], *parts[3:])
        for offset, modality in enumerate(('color', 'depth', 'ir')):
            write_jpeg(folder / modality / f'{frame}.jpg', picture(100 + 3 * seed + offset))


def padisi_array(seed: int, shape: tuple[int, int] = (320, 256)) -> np.ndarray:
    """Return an array (1, 22, H, W) in 0..1 with the five channels that are used filled."""
    data = np.zeros((1, 22, *shape), np.float32)
    data[0, :5] = np.random.default_rng(seed).integers(0, 256, (5, *shape)) / np.float32(255)
    return data


def write_padisi_archive(root: Path, trial: str, data: np.ndarray, transaction: str = _CAPTURE) -> Path:
    """Write one archive under its official name."""
    root.mkdir(parents=True, exist_ok=True)
    path = root / PADISI_NAME.format(transaction=transaction, trial=trial)
    np.savez_compressed(path, data=data)
    return path


def write_padisi_originals(root: Path) -> None:
    """Write PADISI: the folder of the MULTI-SPECTRAL archive."""
    for seed, (name, _) in enumerate(line for lines in CPSW_ARCHIVES.values() for line in lines):
        write_padisi_archive(root / 'padisi_face', PurePosixPath(name).stem, padisi_array(seed))


def write_ground_truth(path: Path, *, lie_about: str = '') -> None:
    """Write PADISI's official table, wrong about one trial."""
    lines = ['transaction_id,trial_id,trial_name,modality,ground_truth,participant_id,gender,ethnicity,race,age']
    for name, label in (line for lines in CPSW_ARCHIVES.values() for line in lines):
        trial = PurePosixPath(name).stem
        code = 'm00000' if bool(label) != (trial == lie_about) else 'm50504'
        lines.append(f'{_CAPTURE},{trial},FACE_NEUTRAL_WITHOUT_GLASS,FACE,{code},p{trial},Male,Unknown,Unknown,25')
    path.write_text('\n'.join(lines) + '\n')


def wmca_arrays(seed: int, size: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """Return colour (3, size, size), red first, and grey, depth, infrared and thermal (4, size, size)."""
    color, other = smooth_image(seed, (size, size)), smooth_image(seed + 1000, (size, size))
    rgb = np.ascontiguousarray(color[..., ::-1].transpose(2, 0, 1))
    return rgb, np.concatenate([rgb.mean(0, dtype=np.float32).astype(np.uint8)[None], other.transpose(2, 0, 1)])


def write_hdf5(path: Path, frames: dict[int, np.ndarray]) -> None:
    """Write one file as bob's FrameContainer does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, 'w') as file:
        for index, array in frames.items():
            file.create_group(f'Frame_{index}').create_dataset('array', data=array)


def wmca_paths(root: Path, recording: str) -> tuple[Path, Path]:
    """Return where the RGB and the CDIT file of a recording lie; the date is made up."""
    date = f'{1 + sum(map(ord, recording)) % 28:02}.02.18'
    places = (root / f'preprocessed-face-station_{kind}' / date for kind in ('RGB', 'CDIT'))
    rgb, cdit = (place / f'{recording}.hdf5' for place in places)
    return rgb, cdit


def write_wmca_recording(root: Path, recording: str, indices: Iterable[int], seed: int) -> None:
    """Write both files of a recording."""
    arrays = {index: wmca_arrays(seed + index) for index in indices}
    for channel, path in enumerate(wmca_paths(root, recording)):
        write_hdf5(path, {index: pair[channel] for index, pair in arrays.items()})


def write_wmca_originals(root: Path) -> None:
    """Write WMCA: two HDF5 files per recording, of which the lists name a few frames."""
    for seed, (recording, frame, _) in enumerate(listed_frames('W')):
        write_wmca_recording(root / 'WMCA', PurePosixPath(recording).name, {0, 5, int(frame)}, 100 * seed)


def write_originals(root: Path) -> None:
    """Write all four, in folders `cefa`, `padisi`, `casia_surf` and `wmca`."""
    write_cefa(root / 'cefa')
    write_padisi_originals(root / 'padisi')
    write_surf(root / 'casia_surf')
    write_wmca_originals(root / 'wmca')
