"""Faces without labels, for pretraining: what a sample is cannot be read, because the list does not say it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmfas.datasets.annotations import read_unlabelled
from mmfas.datasets.face_dataset import MultiModalFaceDataset
from mmfas.registry import DATASETS
from mmfas.structures import MODALITIES
from mmfas.utils.errors import InputError

__all__ = ['UnlabelledFaceDataset']


@DATASETS.register_module()
class UnlabelledFaceDataset(MultiModalFaceDataset):
    """Faces with up to three registered images and nothing that tells what they are.

    Reads CSV lists `sample_id,rgb,depth,ir,domain` (`mmfas data sites` makes them). A list with a column of
    labels, instruments, subjects or videos is refused, so that nothing of these can reach a model that pretrains;
    samples have no `gt_label`. Randomness and errors are those of `MultiModalFaceDataset`.

    Args:
        ann_file: List or lists, relative to `data_root` or absolute.
        data_root: Folder that holds the data.
        modalities: Modalities to read; the others count as absent.
        pipeline: Transforms, as configs or callables.
        **kwargs: `test_mode`, `indices`, `serialize_data`, `lazy_init` and `metainfo` of mmengine's `BaseDataset`.

    Raises:
        FileNotFoundError: If a list is missing.
        ValueError: If a list has other columns, or a line is malformed.
    """

    def __init__(
        self,
        ann_file: str | Sequence[str],
        data_root: str = '',
        *,
        modalities: Sequence[str] = MODALITIES,
        pipeline: Sequence[Any] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(ann_file, data_root, modalities=modalities, pipeline=pipeline, **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """Read all lists.

        Returns:
            One dictionary per sample: `sample_id`, `domain`, `img_paths` (modality -> path) and `source_line`.
        """
        return [self.parse_data_info(record) for name in self.ann_file for record in read_unlabelled(name)]

    def parse_data_info(self, raw_data_info: dict[str, Any]) -> dict[str, Any]:
        """Turn a record of the reader into a sample.

        Args:
            raw_data_info: Record as made by `read_unlabelled`.
        """
        record: Mapping[str, Any] = raw_data_info
        return {**record, 'img_paths': self._full_paths(record['img_paths'], record['source_line'])}

    def group_keys(self) -> list[tuple[str, int]]:
        """Refuse: there are no classes to balance.

        Raises:
            ValueError: Always.
        """
        raise InputError(
            f'{", ".join(self.ann_file)}: samples without labels have no classes to balance; use DefaultSampler'
        )
