"""The twelve published lists of C, P, S and W: their content, their defects, and which files exist.

Counts are those of the lists of github OMGGGGG/mmdg, counted line by line. They are read as they are, defects
included: a few frames are listed three times, and one frame of C-val is also in C-test.
"""

from __future__ import annotations

import os.path as osp
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

from mmfas.datasets.face_dataset import MultiModalFaceDataset
from mmfas.utils.errors import InputError
from mmfas.utils.file_identity import FileIdentity

__all__ = [
    'CLEAN_LISTS',
    'PUBLISHED_DOMAINS',
    'PROTOCOL_SPLITS',
    'PUBLISHED_LISTS',
    'ListCounts',
    'ListReport',
    'clean_against',
    'protocol_sizes',
    'verify_list',
    'verify_protocols',
]

PUBLISHED_DOMAINS = 'CPSW'
_SPLITS = ('train', 'val', 'test')
#: Sources and targets of Protocols 1 and 3 (Protocol 2 has those of 1).
PROTOCOL_SPLITS = ('CPS-W', 'CPW-S', 'CSW-P', 'PSW-C', 'CW-PS', 'PS-CW')


class ListCounts(NamedTuple):
    """What a list holds: live and spoof lines, videos, lines that repeat another, lines of a later split too."""

    live: int
    spoof: int
    videos: int
    repeats: int = 0
    leaks: int = 0

    @property
    def lines(self) -> int:
        """Number of samples."""
        return self.live + self.spoof


#: List -> what it holds as published.
PUBLISHED_LISTS = {
    'C-train': ListCounts(1200, 3600, 1600),
    'C-val': ListCounts(601, 1800, 801, leaks=1),
    'C-test': ListCounts(1200, 5539, 3255, repeats=4),
    'P-train': ListCounts(597, 493, 1090),
    'P-val': ListCounts(145, 127, 272),
    'P-test': ListCounts(363, 304, 667),
    'S-train': ListCounts(900, 5397, 2099, repeats=20),
    'S-val': ListCounts(300, 1800, 700),
    'S-test': ListCounts(1800, 10764, 4188, repeats=56),
    'W-train': ListCounts(372, 1323, 565),
    'W-val': ListCounts(324, 1347, 557),
    'W-test': ListCounts(345, 1326, 557),
}
#: The same without repeats and without the frame of C-val that is in C-test.
CLEAN_LISTS = {
    **PUBLISHED_LISTS,
    'C-val': ListCounts(600, 1800, 800),
    'C-test': ListCounts(1200, 5535, 3255),
    'S-train': ListCounts(898, 5379, 2099),
    'S-test': ListCounts(1796, 10712, 4188),
}


@dataclass(frozen=True)
class ListReport:
    """What was found in one list.

    Args:
        name: List, such as `'C-train'`.
        counts: What it holds; None if it cannot be read.
        frames: Frames per video -> number of videos.
        repeats: Lines that repeat an earlier one of the list, in words.
        leaks: Lines whose files are in a later split of the domain too, in words.
        missing: Paths of files that are not there; empty if none were looked for.
        num_files: Files that were looked for.
        error: Why the list cannot be read, or `''`.
    """

    name: str
    counts: ListCounts | None
    frames: Mapping[int, int]
    repeats: tuple[str, ...] = ()
    leaks: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    num_files: int = 0
    error: str = ''

    def difference(self, expected: Mapping[str, ListCounts]) -> str:
        """Describe how the counts differ from those expected; `''` if they do not.

        Args:
            expected: `PUBLISHED_LISTS` or `CLEAN_LISTS`.
        """
        if self.counts is None:
            return self.error
        pairs = zip(ListCounts._fields, self.counts, expected[self.name], strict=True)
        return ', '.join(f'{key} {found} instead of {wanted}' for key, found, wanted in pairs if found != wanted)


def clean_against(name: str) -> list[str]:
    """Return the lists whose samples a clean variant must not hold: the later splits of its domain.

    Args:
        name: List, such as `'C-val'`.

    Returns:
        File names, for `MultiModalFaceDataset(clean=...)`.

    >>> clean_against('C-val'), clean_against('C-test')
    (['C-test.txt'], [])
    """
    domain, _, split = name.partition('-')
    return [f'{domain}-{later}.txt' for later in _SPLITS[_SPLITS.index(split) + 1 :]]


def verify_list(
    folder: str,
    name: str,
    *,
    data_root: str | None = None,
    clean: bool = False,
    later: Iterable[Any] = (),
    identity: FileIdentity | None = None,
) -> tuple[ListReport, list[dict[str, Any]]]:
    """Read one list and look for what is wrong in it.

    Args:
        folder: Folder of the lists.
        name: List, such as `'C-train'`.
        data_root: Folder of the data, to look for the files; None looks for none.
        clean: Read the clean variant.
        later: Samples of the later splits of the same domain.
        identity: Decides whether two paths name the same file; a new one if None.

    Returns:
        The report and the samples that were read.
    """
    identity = identity or FileIdentity()
    against = [osp.abspath(osp.join(folder, other)) for other in clean_against(name)]
    try:
        dataset = MultiModalFaceDataset(
            osp.abspath(osp.join(folder, f'{name}.txt')),
            data_root or '',
            clean={'lists': against, 'by_content': identity.by_content} if clean else False,
        )
    except (ValueError, FileNotFoundError) as error:
        return ListReport(name, None, {}, error=str(error)), []
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    repeats = list(_repeats(infos, identity))
    elsewhere = {identity.of_sample(info['img_paths']): info['source_line'] for info in later}
    known = ((info, elsewhere.get(identity.of_sample(info['img_paths']))) for info in infos)
    leaks = [f'{info["source_line"]} is also {line}: {info["sample_id"]}' for info, line in known if line]
    videos = Counter(info['video'] for info in infos)
    live = sum(info['gt_label'] for info in infos)
    files = [] if data_root is None else sorted({path for info in infos for path in info['img_paths'].values()})
    report = ListReport(
        name,
        ListCounts(live, len(infos) - live, len(videos), len(repeats), len(leaks)),
        Counter(videos.values()),
        tuple(repeats),
        tuple(leaks),
        tuple(path for path in files if not osp.isfile(path)),
        len(files),
    )
    return report, infos


def _repeats(infos: Sequence[Mapping[str, Any]], identity: FileIdentity) -> Iterable[str]:
    """Yield, in words, every line whose files stood there before."""
    first: dict[Any, str] = {}
    for info in infos:
        earlier = first.setdefault(identity.of_sample(info['img_paths']), info['source_line'])
        if earlier != info['source_line']:
            yield f'{info["source_line"]} repeats {earlier}'


def verify_protocols(
    folder: str,
    *,
    data_root: str | None = None,
    domains: str = PUBLISHED_DOMAINS,
    clean: bool = False,
    by_content: bool = False,
) -> list[ListReport]:
    """Check the published lists.

    Args:
        folder: Folder with `C-train.txt` and its siblings.
        data_root: Folder of the data, to look for every file; None looks for none.
        domains: Letters of the domains whose lists are checked.
        clean: Check the clean variants.
        by_content: Treat byte copies as one file; reads all files, so it needs `data_root`.

    Returns:
        One report per list, train, val and test of every domain.

    Raises:
        ValueError: If a domain is unknown, or files are to be read and `data_root` is not given.
    """
    if by_content and data_root is None:
        raise InputError('by_content reads the files of the lists: give data_root (--data-root), their folder')
    unknown = set(domains) - set(PUBLISHED_DOMAINS)
    if unknown or not domains:
        raise InputError(f'domains must be letters out of {PUBLISHED_DOMAINS}, but got {domains!r}')
    reports: dict[str, ListReport] = {}
    for domain in domains:
        identity = FileIdentity(by_content=by_content)
        later: list[dict[str, Any]] = []
        for split in reversed(_SPLITS):
            name = f'{domain}-{split}'
            reports[name], infos = verify_list(
                folder, name, data_root=data_root, clean=clean, later=later, identity=identity
            )
            later = [*infos, *later]
    return [reports[f'{domain}-{split}'] for domain in domains for split in _SPLITS]


def protocol_sizes(reports: Iterable[ListReport]) -> list[tuple[str, int, int, int]]:
    """Return the numbers of samples in the splits of Protocols 1 and 3.

    Args:
        reports: Reports of lists.

    Returns:
        (split such as `'CPS-W'`, samples to train on, of dev, of test), where all lists can be read.
    """
    lines = {report.name: report.counts.lines for report in reports if report.counts is not None}
    rows = []
    for split in PROTOCOL_SPLITS:
        sources, targets = split.split('-')
        parts = (('train', sources), ('val', sources), ('test', targets))
        lists = [[f'{domain}-{part}' for domain in letters] for part, letters in parts]
        if set(chain(*lists)) <= set(lines):
            train, dev, test = (sum(lines[name] for name in names) for names in lists)
            rows.append((split, train, dev, test))
    return rows
