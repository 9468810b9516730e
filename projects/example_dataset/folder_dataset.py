"""A data set of a third party: folders named by what they hold, and no list at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmfas.datasets import MultiModalFaceDataset
from mmfas.registry import DATASETS
from mmfas.structures import MODALITIES
from mmfas.utils.errors import InputError


@DATASETS.register_module()
class KindFolderDataset(MultiModalFaceDataset):
    """`DATA_ROOT/ANN_FILE/KIND/SUBJECT_FRAME_rgb.png`, with `_depth.png` and `_ir.png` beside it.

    `ann_file` names the folder of a split, or several. KIND is `live` or the attack instrument; depth and
    infrared may be absent.
    """

    def load_data_list(self) -> list[dict[str, Any]]:
        """Return one record per colour picture, in the order of paths.

        Raises:
            InputError: If a folder holds no picture of this layout, or a name has no subject.
        """
        pictures: list[Path] = []
        for split in self.ann_file:  # below data_root already
            found = sorted(Path(split).glob('*/*_rgb.png'))
            if not found:
                raise InputError(
                    f"'{split}' has no picture KIND/SUBJECT_FRAME_rgb.png; check data_root and ann_file"
                )
            pictures += found
        return [self.parse_data_info(self._record(rgb, Path(self.data_root))) for rgb in pictures]

    @staticmethod
    def _record(rgb: Path, root: Path) -> dict[str, Any]:
        """Return what the path of a colour picture says."""
        kind, stem = rgb.parent.name, rgb.stem.removesuffix('_rgb')
        subject, separator, _ = stem.partition('_')
        if not separator:
            raise InputError(f"'{rgb}' names no subject; call it SUBJECT_FRAME_rgb.png")
        beside = {m: rgb.with_name(f'{stem}_{m}.png') for m in MODALITIES}
        return dict(
            sample_id=str(rgb.relative_to(root).with_name(stem)),
            img_paths={m: str(path.relative_to(root)) for m, path in beside.items() if path.is_file()},
            label=int(kind == 'live'),
            pai=kind,
            subject=subject,
            domain='my-camera',
            source_line=str(rgb),
        )
