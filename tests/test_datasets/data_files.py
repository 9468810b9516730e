"""Writers of small real files in the exact layouts and formats of the published benchmark."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

FOLDERS = ('color', 'depth', 'ir')
CEFA_FOLDERS = ('profile', 'depth', 'ir')


def smooth_image(seed: int, size: tuple[int, int] = (40, 32)) -> np.ndarray:
    """Return a smooth random uint8 image (H, W, 3), so that JPEG changes it little."""
    noise = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 4)


def write_triple(
    root: Path, video: str, frame: str, seed: int, *, folders: tuple[str, str, str] = FOLDERS
) -> list[str]:
    """Write three registered JPEGs of one frame and return their paths relative to `root`."""
    names = []
    for offset, folder in enumerate(folders):
        path = root / video / folder / f'{frame}.jpg'
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), smooth_image(3 * seed + offset))
        names.append(path.relative_to(root).as_posix())
    return names


def write_padisi(root: Path, name: str, seed: int) -> np.ndarray:
    """Write a PADISI archive and return its array (1, 22, H, W)."""
    data = np.random.default_rng(seed).random((1, 22, 32, 40), dtype=np.float32)
    (root / 'PADISI').mkdir(exist_ok=True)
    np.savez(root / 'PADISI' / name, data=data)
    return data


WMCA_VIDEOS = [  # (video, label)
    ('001_01_000_0_00', 1),
    ('002_01_000_0_01', 1),
    ('098_03_021_3_11', 0),
    ('535_07_066_1_16', 0),
    ('501_05_031_2_02', 0),
    ('019_04_015_4_01', 0),
]


def write_wmca(root: Path, name: str = 'W-train.txt') -> None:
    """Write six WMCA frames with a list in the published format: CRLF, no newline at the end."""
    lines = []
    for seed, (video, label) in enumerate(WMCA_VIDEOS):
        paths = write_triple(root, f'WMCA-Image/R_CDIT/{video}', '0012', seed)
        lines.append(f'{" ".join(paths)} {label}')
    (root / name).write_bytes('\r\n'.join(lines).encode())


#: List of the benchmark -> (video, frame, label) of some of its lines, as they are published; for P (name, label).
CPSW_IMAGES = {
    'C-train': [
        ('CeFA/CeFA-Race/AF/AF-000/1_000_1_1_1', '0026', 1),
        ('CeFA/CeFA-Race/AF/AF-000/1_000_3_1_2', '0012', 0),
        ('CeFA/CeFA-Race/AF/AF-155/1_155_3_1_4', '0040', 0),
    ],
    'C-val': [
        ('CeFA/CeFA-Race/AF/AF-200/1_200_1_1_1', '0026', 1),
        ('CeFA/CeFA-Race/AF/AF-200/1_200_3_1_2', '0012', 0),
    ],
    'C-test': [
        ('CeFA/CeFA-Race/AF/AF-300/1_300_1_1_1', '0026', 1),
        ('CeFA/CeFA-Race/AF/AF-455/1_455_3_1_4', '0076', 0),
        ('CeFA/CeFA-Mask/3D-Mask/001/1_001_0_0_2_1_3', '0003', 0),
        ('CeFA/CeFA-Mask/Silicone-Mask/003/2_003_1_0_2_1_2', '0076', 0),
    ],
    'S-train': [
        ('CASIA-SURF-CROP/real_part/real_train_part/CLKJ_AS0005/real.rssdk', '131', 1),
        ('CASIA-SURF-CROP/fake_part/fake_train_part/CLKJ_AS0005/01_e_s.rssdk', '141', 0),
        # A video of one frame stands there three times.
        *[('CASIA-SURF-CROP/fake_part/fake_train_part/CLKJ_BS0048/06_enm_b.rssdk', '171', 0)] * 3,
    ],
    'S-val': [
        ('CASIA-SURF-CROP/real_part/real_val_part/CLKJ_AS0010/real.rssdk', '161', 1),
        ('CASIA-SURF-CROP/fake_part/fake_val_part/CLKJ_AS0010/01_e_s.rssdk', '141', 0),
    ],
    'S-test': [
        ('CASIA-SURF-CROP/real_part/real_test_part/CLKJ_AS0002/real.rssdk', '121', 1),
        ('CASIA-SURF-CROP/fake_part/fake_test_part/CLKJ_AS0002/02_en_b.rssdk', '51', 0),
    ],
    'W-train': [
        ('WMCA-Image/R_CDIT/002_01_000_0_00', '0012', 1),
        ('WMCA-Image/R_CDIT/016_01_000_2_15', '0024', 0),
    ],
    'W-val': [
        ('WMCA-Image/R_CDIT/003_01_000_0_00', '0012', 1),
        ('WMCA-Image/R_CDIT/019_04_000_4_07', '0024', 0),
    ],
    'W-test': [
        ('WMCA-Image/R_CDIT/001_01_000_0_00', '0012', 1),
        ('WMCA-Image/R_CDIT/001_01_000_2_08', '0012', 0),
        ('WMCA-Image/R_CDIT/012_04_010_2_83', '0024', 0),
    ],
}
CPSW_ARCHIVES = {
    'P-train': [('zc7db0ae.npz', 1), ('1c7d905a.npz', 0)],
    'P-val': [('z892e2c8.npz', 1), ('m86eabe9.npz', 0)],
    'P-test': [('zd6c8787.npz', 1), ('074b487a.npz', 0)],
}


def write_cpsw_lists(root: Path) -> None:
    """Write the twelve lists in their published formats, without the files they name."""
    for name, frames in CPSW_IMAGES.items():
        folders = CEFA_FOLDERS if name.startswith('C') else FOLDERS
        lines = []
        for video, frame, label in frames:
            paths = [f'{video}/{folder}/{frame}.jpg' for folder in folders]
            lines.append(f'{" ".join(paths)} {label}')
        (root / f'{name}.txt').write_bytes('\r\n'.join(lines).encode())
    for name, archives in CPSW_ARCHIVES.items():
        (root / f'{name}.txt').write_bytes(''.join(f'{a}\t{label}\n' for a, label in archives).encode())


def write_cpsw(root: Path) -> None:
    """Write the twelve lists in their published formats, with small files in the published places."""
    write_cpsw_lists(root)
    for number, (name, frames) in enumerate(CPSW_IMAGES.items()):
        folders = CEFA_FOLDERS if name.startswith('C') else FOLDERS
        for place, (video, frame, _) in enumerate(frames):
            write_triple(root, video, frame, 100 * number + place, folders=folders)
    for archives in CPSW_ARCHIVES.values():
        for archive, label in archives:
            write_padisi(root, archive, label)
