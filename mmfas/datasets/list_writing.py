"""Lists in the format for your own data, written from samples."""

from __future__ import annotations

import csv
import io
import os.path as osp
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mmfas.datasets.annotations import OWN_DATA_COLUMNS, PROVENANCE_KEYS
from mmfas.datasets.protocols import UNKNOWN
from mmfas.utils.files import write_atomically

__all__ = ['relative_record', 'write_list']


def relative_record(info: Mapping[str, Any], prefixes: Mapping[str, str]) -> dict[str, Any]:
    """Return the record of a sample of a data set, with paths as a list has them.

    Args:
        info: Sample of `MultiModalFaceDataset`.
        prefixes: Folders that paths in lists are relative to, `data_prefix` of the data set.
    """
    paths = {
        key: osp.relpath(path, prefixes['npz' if key == 'npz' else 'img'] or '.')
        for key, path in info['img_paths'].items()
    }
    known = {key: info[key] for key in ('sample_id', *PROVENANCE_KEYS)}
    return {**known, 'label': info['gt_label'], 'img_paths': paths}


def write_list(path: str | Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Write a CSV file that `MultiModalFaceDataset` reads.

    Args:
        path: File to write.
        records: `sample_id`, `img_paths` (modality or `'npz'` -> path as it is to be written), `label`, and what
            is known of `domain`, `subject`, `video` and `pai`.
    """
    rows = list(records)
    used = {key for row in rows for key in row['img_paths']}
    columns = [name for name in OWN_DATA_COLUMNS if name != 'npz' or 'npz' in used]
    text = io.StringIO(newline='')
    writer = csv.DictWriter(text, columns, lineterminator='\n')
    writer.writeheader()
    for row in rows:
        known = {key: row[key] for key in PROVENANCE_KEYS if row.get(key, UNKNOWN) != UNKNOWN}
        writer.writerow({'sample_id': row['sample_id'], 'label': row['label'], **known, **row['img_paths']})
    write_atomically(path, text.getvalue())
