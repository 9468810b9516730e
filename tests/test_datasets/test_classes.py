"""A dev split of one class is refused before anything is computed on it."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.dataset import ConcatDataset, RepeatDataset
from torch.utils.data import Dataset, Subset

from mmfas.datasets.classes import require_both_classes
from mmfas.registry import DATASETS


def faces(folder: Path, name: str, labels: str) -> Dataset:
    """Return a data set of a list with these labels."""
    (folder / name).write_text(
        ''.join(f'rgb/{i}.png depth/{i}.png ir/{i}.png {label}\n' for i, label in enumerate(labels))
    )
    return DATASETS.build(dict(type='MultiModalFaceDataset', ann_file=[str(folder / name)], pipeline=[]))


def test_one_class_is_refused_with_its_lists(tmp_path: Path) -> None:
    both, live, spoof = (
        faces(tmp_path, name, labels) for name, labels in (('b.txt', '01'), ('l.txt', '111'), ('s.txt', '00'))
    )
    require_both_classes(both, 'val_dataloader')
    require_both_classes(ConcatDataset([live, spoof]), 'val_dataloader')
    with pytest.raises(
        ValueError, match=r"val_dataloader: all 3 samples of '.*/l.txt' are live faces, .* with attacks"
    ):
        require_both_classes(live, 'val_dataloader')
    with pytest.raises(ValueError, match=r"all 4 samples of '.*/s.txt' are attacks, .*live_label"):
        require_both_classes(RepeatDataset(spoof, 2), 'val_dataloader')
    with pytest.raises(ValueError, match=r"all 1 samples of '.*/b.txt' are live faces"):
        require_both_classes(Subset(both, [1]), 'val_dataloader')


def test_a_data_set_that_does_not_say_its_classes_passes() -> None:
    require_both_classes([1, 2, 3], 'val_dataloader')
