"""Checks of a whole data set before training: all problems at once instead of one crash per run."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from mmfas.datasets.content import ContentReport, facts_of
from mmfas.datasets.face_dataset import MultiModalFaceDataset
from mmfas.datasets.protocols import UNKNOWN
from mmfas.datasets.transforms import LoadMultiModalImages
from mmfas.structures import LIVE
from mmfas.utils.file_identity import FileIdentity

__all__ = ['Problem', 'face_datasets_in', 'shared_files', 'verify_datasets']

_CHUNK = 64


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Args:
        kind: `'image'` (missing, broken, odd-sized), `'one class'`, `'two labels'` (one sample is called live and
            spoof), `'duplicate'` (one file in two splits), `'subject overlap'`, or one of the content of pictures:
            `'no content'`, `'outside the range'`, `'one file twice'`, `'one picture in many samples'`,
            `'saturated'`, `'clipped'`, `'no reading'`, `'orientation'`.
        place: Split, and (first) list line where there is one.
        message: What is wrong.
        is_warning: Whether it may be intended.
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
    return [found for part in inner for found in face_datasets_in(part)]


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
    counts = Counter(info['gt_label'] for info in infos if 'gt_label' in info)
    if len(counts) == 2 or not counts:  # a list to pretrain on has no labels
        return []
    only = 'live' if LIVE in counts else 'spoof'
    return [Problem('one class', split, f'all {len(infos)} samples are {only}: no error rate can be computed')]


def _check_contradictions(split: str, infos: Sequence[Mapping[str, Any]], identity: FileIdentity) -> list[Problem]:
    """Check that no two lines of a split call the same picture live and spoof."""
    problems = []
    first: dict[Any, Mapping[str, Any]] = {}
    for info in infos:
        shown = next(iter(info['img_paths'].values()))
        earlier = first.setdefault(identity.of(shown), info)
        if earlier.get('gt_label') != info.get('gt_label'):
            lines = f'{earlier["source_line"]} and {info["source_line"]}'
            message = f'{shown} is live in one of {lines} and spoof in the other; correct one of them'
            problems.append(Problem('two labels', split, message))
    return problems


def _files_in_two(
    infos: Mapping[str, Sequence[Mapping[str, Any]]], identity: FileIdentity
) -> list[dict[str, tuple[str, str]]]:
    """Find files that are in two splits, under whatever names: split -> (path, list line), one for every pair."""
    places: dict[Any, dict[str, tuple[str, str]]] = defaultdict(dict)
    for split, rows in infos.items():
        for info in rows:
            for path in info['img_paths'].values():
                places[identity.of(path)].setdefault(split, (path, info['source_line']))
    pairs: dict[tuple[Any, ...], dict[str, tuple[str, str]]] = {}
    for found in places.values():
        if len(found) > 1:
            # One for the pair of lines, not one for each of their files.
            pairs.setdefault(tuple((split, line) for split, (_, line) in found.items()), found)
    return list(pairs.values())


def _in_words(found: Mapping[str, tuple[str, str]]) -> str:
    """Say where a file is listed, with its other spellings."""
    name = next(iter(found.values()))[0]
    spellings = {split: '' if path == name else f', as {path}' for split, (path, _) in found.items()}
    places = ', '.join(f'{split} ({line}{spellings[split]})' for split, (_, line) in found.items())
    return f'{name} is in {places}'


def _check_subjects(infos: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Problem]:
    """Check that no known subject is in two splits."""
    places: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for split, rows in infos.items():
        for info in rows:
            if (key := _subject_key(info)) is not None:
                places[key].setdefault(split, info['source_line'])
    problems = []
    for key, found in places.items():
        if len(found) > 1:
            lines = ', '.join(f'{split} ({line})' for split, line in found.items())
            problems.append(Problem('subject overlap', ' / '.join(found), f'{" ".join(key)} is in {lines}'))
    return problems


def shared_files(splits: Mapping[str, Any], *, by_content: bool = False) -> dict[tuple[str, str], list[str]]:
    """Find the files that are in two data sets, under whatever names; no picture is opened.

    Args:
        splits: Name of a split -> its data set; wrappers are looked into, other kinds have no files.
        by_content: Treat byte copies as one file; reads every file.

    Returns:
        Two names, in the order of `splits` -> one line for every pair of samples with a file in both. Names
        without such a pair are left out.
    """
    infos = {
        name: [found.get_data_info(i) for found in face_datasets_in(dataset) for i in range(len(found))]
        for name, dataset in splits.items()
    }
    shared: dict[tuple[str, str], dict[tuple[str, ...], str]] = defaultdict(dict)
    for found in _files_in_two(infos, FileIdentity(by_content=by_content)):
        for pair in combinations(found, 2):
            lines = tuple(found[split][1] for split in pair)
            shared[pair].setdefault(lines, _in_words({split: found[split] for split in pair}))
    return {pair: list(lines.values()) for pair, lines in shared.items()}


def _subject_key(info: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the subject with its domain, or None where it is unknown."""
    return None if info['subject'] == UNKNOWN else (info['domain'], info['subject'])


def verify_datasets(
    splits: Mapping[str, Sequence[MultiModalFaceDataset]],
    *,
    num_threads: int = 4,
    by_content: bool = False,
    advance: Callable[[int], None] = lambda count: None,
) -> list[Problem]:
    """Check splits: every file is whole, sizes agree, pictures show something, both classes are there, no overlap.

    Line formats have been checked when the data sets were built. Repeated lines within one split are not a problem
    (the published lists have them), unless their labels contradict each other. The file that a path names counts,
    not its spelling (see `FileIdentity`).

    Args:
        splits: Name of a split (such as `'train'`) -> its data sets.
        num_threads: Threads that decode.
        by_content: Treat byte copies as one file; reads every file once more.
        advance: Called with the number of samples done since the last call.

    Returns:
        All problems, images first, and warnings among them.
    """
    problems, infos = [], {}
    identity = FileIdentity(by_content=by_content)
    for split, datasets in splits.items():
        content = ContentReport()
        for line, message in _check_images(datasets, content, num_threads=num_threads, advance=advance):
            problems.append(Problem('image', f'{split} ({line})', message))
        problems += [
            Problem(found.kind, f'{split} ({found.line})', found.message, found.is_warning)
            for found in content.findings()
        ]
        infos[split] = [d.get_data_info(index) for d in datasets for index in range(len(d))]
        problems += _check_labels(split, infos[split]) + _check_contradictions(split, infos[split], identity)
    problems += [
        Problem('duplicate', ' / '.join(found), _in_words(found)) for found in _files_in_two(infos, identity)
    ]
    return problems + _check_subjects(infos)
