"""What is to be cropped: an annotation file or a folder in, one task per set of registered pictures out."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from mmfas.datasets.annotations import read_annotations
from mmfas.structures import MODALITIES
from mmfas.utils.errors import InputError
from mmfas.utils.file_identity import FileIdentity
from mmfas.utils.folders import visible_files

__all__ = ['CropTask', 'read_crop_samples', 'tasks_of']

_SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff', '.webp')


@dataclass(frozen=True)
class CropTask:
    """Registered pictures that are cropped together.

    Args:
        sources: Path of each picture by modality.
        targets: Path of each crop by modality, below the folder of the results.
    """

    sources: Mapping[str, str]
    targets: Mapping[str, str]

    @property
    def name(self) -> str:
        """Name of the task, unique in a folder of results."""
        return ' '.join(self.targets.values())


def _read_folder(folder: Path, label: int | None) -> list[dict[str, Any]]:
    """Make one record of the pictures that have the same name below `rgb`, `depth` and `ir`."""
    if label not in (0, 1):
        raise InputError(
            f"'{folder}' is a folder, which has no labels: give --label 1 (live) or 0 (spoof) for all"
        )
    paths: dict[str, dict[str, str]] = {}
    for modality in MODALITIES:
        inner = folder / modality
        files = visible_files(inner) if inner.is_dir() else []
        _refuse_one_file_twice(files)
        for file in files:
            if file.suffix.lower() not in _SUFFIXES:
                raise InputError(f"'{file}' is not a picture ({', '.join(_SUFFIXES)}); move it elsewhere")
            name = file.relative_to(inner).with_suffix('').as_posix()
            earlier = paths.setdefault(name, {}).setdefault(modality, file.relative_to(folder).as_posix())
            if Path(folder, earlier) != file:
                raise InputError(f"'{file}' and '{earlier}' have the same name; rename one of them")
    if not paths:
        raise InputError(f"'{folder}' holds no pictures in {', '.join(f'{m}/' for m in MODALITIES)}")
    return [
        {'sample_id': name, 'img_paths': found, 'label': label, 'source_line': f'{folder.name}/{name}'}
        for name, found in sorted(paths.items())
    ]


def _refuse_one_file_twice(files: Sequence[Path]) -> None:
    """Raise on links to pictures that are there too: one picture would become two samples."""
    identity = FileIdentity()
    first: dict[Hashable, Path] = {}
    for file in files:
        earlier = first.setdefault(identity.of(file), file)
        if earlier != file:
            raise InputError(f"'{earlier}' and '{file}' are one file; remove one, or name the pictures in a list")


def read_crop_samples(
    source: str | Path, *, data_root: str | Path | None = None, label: int | None = None
) -> tuple[list[dict[str, Any]], str]:
    """Read what is to be cropped.

    Args:
        source: Annotation file (`.csv`, `.json` or a published `.txt`), or a folder with pictures of the same
            names below `rgb`, `depth` and `ir`.
        data_root: Folder that paths of the annotation file are relative to; its own folder if None.
        label: Label of all samples of a folder, 0 or 1.

    Returns:
        Records as those of `read_annotations`, and the folder that their paths are relative to.

    Raises:
        FileNotFoundError: If the source does not exist.
        ValueError: If it is malformed, holds nothing, or has archives instead of pictures.
    """
    source = Path(source)
    if source.is_dir():
        if data_root is not None:
            raise InputError('a folder needs no --data-root')
        return _read_folder(source, label), str(source)
    if label is not None:
        raise InputError(f"'{source}' has labels of its own; leave --label out")
    records = read_annotations(source)
    archives = [record['source_line'] for record in records if 'npz' in record['img_paths']]
    if archives:
        raise InputError(
            f'{archives[0]}: `mmfas data crop` reads pictures, not npz archives ({len(archives)} lines); PADISI '
            'is published as crops'
        )
    return records, str(source.parent if data_root is None else data_root)


def _target(path: str, modality: str, place: str) -> str:
    """Return where the crop of a picture goes: `rgb/a/b.jpg` and `a/b.jpg` both to `rgb/a/b.png`."""
    parts = PurePosixPath(os.path.normpath(path).replace(os.sep, '/')).with_suffix('.png').parts
    if parts[0] == '..':
        raise InputError(f"{place}: '{path}' lies outside --data-root; give a folder above all pictures")
    return PurePosixPath(modality, *parts[parts[0] == modality :]).as_posix()


def _below(path: str, root: str) -> str:
    """Return an absolute path relative to a folder, which a link above one of them may hide."""
    inside = os.path.relpath(path, root)
    if inside.startswith(os.pardir):
        folder, name = os.path.split(path)  # a link to the picture itself keeps its name
        inside = os.path.relpath(os.path.join(os.path.realpath(folder), name), os.path.realpath(root))
    return inside


def tasks_of(records: Sequence[Mapping[str, Any]], root: str, out: str | Path) -> list[CropTask]:
    """Return the task of every record; records of the same pictures have equal ones.

    Args:
        records: As `read_crop_samples` returns them.
        root: Folder that their paths are relative to.
        out: Folder of the results.

    Returns:
        One task per record, in their order.

    Raises:
        ValueError: If two pictures would have one crop, or a crop would overwrite a picture.
    """
    tasks = []
    owner: dict[str, str] = {}
    identity = FileIdentity()
    for record in records:
        sources, targets = {}, {}
        for modality, path in record['img_paths'].items():
            place = record['source_line']
            inside = _below(path, root) if os.path.isabs(path) else path
            sources[modality] = os.path.normpath(os.path.join(root, inside))
            targets[modality] = _target(inside, modality, place)
            earlier = owner.setdefault(targets[modality], sources[modality])
            if identity.of(earlier) != identity.of(sources[modality]):
                raise InputError(
                    f"{place}: '{sources[modality]}' and '{earlier}' would both become '{targets[modality]}'; "
                    'rename one of them'
                )
        tasks.append(CropTask(sources, targets))
    read = {identity.of(path) for task in tasks for path in task.sources.values()}
    for target in owner:
        if identity.of(os.path.join(out, target)) in read:
            raise InputError(
                f"'{Path(out, target)}' is one of the pictures to crop; give another folder for results"
            )
    return tasks
