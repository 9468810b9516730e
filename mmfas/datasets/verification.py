"""Checks of a whole data set before training: all problems at once instead of one crash per night."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from mmfas.datasets.cleaning import files_of
from mmfas.datasets.content import ContentReport, facts_of
from mmfas.datasets.face_dataset import MultiModalFaceDataset
from mmfas.datasets.protocols import UNKNOWN
from mmfas.datasets.transforms import LoadMultiModalImages
from mmfas.structures import LIVE

__all__ = ['Problem', 'face_datasets_in', 'verify_datasets']

_CHUNK = 64


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Args:
        kind: `'image'` (missing, broken, odd-sized), `'one class'`, `'two labels'` (one sample is called live and
            spoof), `'duplicate'` (one file in two splits), `'subject overlap'`, or one of the content of pictures:
            `'no content'`, `'outside the range'`, `'one file twice'`, `'saturated'`, `'clipped'`, `'no reading'`,
            `'orientation'`.
        place: Split, and (first) list line where there is one.
        message: What is wrong.
        is_warning: Whether it may be right.
    """

    kind: str
    place: str
    message: str
    is_warning: bool = False


def face_datasets_in(dataset: Any) -> list[MultiModalFaceDataset]:
    """Collect the face data sets inside a data set, through wrappers.

    Args:
        dataset: A face data set, or a wrapper with `dataset` or `datasets`.

    Returns:
        The face data sets; none if there is another kind at the bottom.
    """
    if isinstance(dataset, MultiModalFaceDataset):
        return [dataset]
    inner = list(getattr(dataset, 'datasets', []))
    if hasattr(dataset, 'dataset'):
        inner.append(dataset.dataset)
    return [found for each in inner for found in face_datasets_in(each)]


def _loader_of(dataset: MultiModalFaceDataset) -> LoadMultiModalImages:
    """Return the loader of the data set's own pipeline, or a default one."""
    loaders = [t for t in dataset.pipeline.transforms if isinstance(t, LoadMultiModalImages)]
    return loaders[0] if loaders else LoadMultiModalImages()


def _check_images(
    datasets: Sequence[MultiModalFaceDataset],
    content: ContentReport,
    *,
    num_threads: int,
    advance: Callable[[int], None],
) -> Iterable[tuple[str, str]]:
    """Load every sample, look at its pictures, and yield (list line, message) of those that fail."""
    with ThreadPoolExecutor(num_threads) as pool:
        for dataset in datasets:
            loader = _loader_of(dataset)

            def load(index: int, dataset: Any = dataset, loader: Any = loader) -> Any:
                info = dataset.get_data_info(index)
                try:
                    return facts_of(loader, info, dataset.modalities)
                except (ValueError, FileNotFoundError) as error:
                    return info['source_line'], str(error)

            for start in range(0, len(dataset), _CHUNK):
                chunk = range(start, min(start + _CHUNK, len(dataset)))
                for found in pool.map(load, chunk):
                    if isinstance(found, tuple):
                        yield found
                    else:
                        content.add(found)
                advance(len(chunk))


def _check_labels(split: str, infos: Sequence[Mapping[str, Any]]) -> list[Problem]:
    """Check that both classes are there."""
    counts = Counter(info['gt_label'] for info in infos)
    if len(counts) == 2:
        return []
    only = 'live' if LIVE in counts else 'spoof'
    return [Problem('one class', split, f'all {len(infos)} samples are {only}: no error rate can be computed')]


def _check_contradictions(split: str, infos: Sequence[Mapping[str, Any]]) -> list[Problem]:
    """Check that no two lines of a split call the same files live and spoof."""
    problems = []
    first: dict[tuple[str, ...], Mapping[str, Any]] = {}
    for info in infos:
        earlier = first.setdefault(files_of(info), info)
        if earlier['gt_label'] != info['gt_label']:
            lines = f'{earlier["source_line"]} and {info["source_line"]}'
            shown = next(iter(info['img_paths'].values()))
            message = f'{shown} is live in one of {lines} and spoof in the other; correct one of them'
            problems.append(Problem('two labels', split, message))
    return problems


def _check_overlap(infos: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Problem]:
    """Check that no file and no known subject stands in two splits."""
    problems = []
    for kind, key_of in (('duplicate', _file_key), ('subject overlap', _subject_key)):
        places: dict[Any, dict[str, str]] = defaultdict(dict)
        for split, rows in infos.items():
            for info in rows:
                if (key := key_of(info)) is not None:
                    places[key].setdefault(split, info['source_line'])
        for key, found in places.items():
            if len(found) > 1:
                lines = ', '.join(f'{split} ({line})' for split, line in found.items())
                problems.append(Problem(kind, ' / '.join(found), f'{" ".join(key)} is in {lines}'))
    return problems


def _file_key(info: Mapping[str, Any]) -> tuple[str] | None:
    """Return what makes a sample the same file."""
    return (next(iter(info['img_paths'].values())),)


def _subject_key(info: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the subject with its domain, or None where it is unknown."""
    return None if info['subject'] == UNKNOWN else (info['domain'], info['subject'])


def verify_datasets(
    splits: Mapping[str, Sequence[MultiModalFaceDataset]],
    *,
    num_threads: int = 4,
    advance: Callable[[int], None] = lambda count: None,
) -> list[Problem]:
    """Check splits: every file is whole, sizes agree, pictures show something, both classes are there, no overlap.

    Line formats have been checked when the data sets were built. Repeated lines within one split are no problem
    (the published lists have them), unless their labels contradict each other.

    Args:
        splits: Name of a split (such as `'train'`) -> its data sets.
        num_threads: Threads that decode.
        advance: Called with the number of samples done since the last call.

    Returns:
        All problems, images first, and warnings among them.
    """
    problems, infos = [], {}
    for split, datasets in splits.items():
        content = ContentReport()
        for line, message in _check_images(datasets, content, num_threads=num_threads, advance=advance):
            problems.append(Problem('image', f'{split} ({line})', message))
        problems += [
            Problem(found.kind, f'{split} ({found.line})', found.message, found.is_warning)
            for found in content.findings()
        ]
        infos[split] = [d.get_data_info(index) for d in datasets for index in range(len(d))]
        problems += _check_labels(split, infos[split]) + _check_contradictions(split, infos[split])
    return problems + _check_overlap(infos)
