"""Pictures that several samples of a list share, in memory that is bounded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

__all__ = ['Repeats', 'RepeatedPictures']

#: Pictures and samples that are remembered, of all lists together; some 100 bytes each.
_MOST_REMEMBERED = 500_000


class Repeats(NamedTuple):
    """What samples of one list share in one modality.

    Args:
        list_name: The list.
        modality: Modality.
        line: First line with the picture that most of them show.
        num_pictures: Pictures that more than one sample shows.
        num_samples: Samples that show one of these.
        most: Samples that show the most frequent one.
    """

    list_name: str
    modality: str
    line: str
    num_pictures: int
    num_samples: int
    most: int


class RepeatedPictures:
    """Counts the samples that show one and the same picture.

    A line that repeats a sample, with all its files, is none of them: the published lists have such lines.
    """

    def __init__(self) -> None:
        self._first: dict[tuple[str, str], dict[int, str]] = {}
        self._again: dict[tuple[str, str], Counter[int]] = {}
        self._samples: set[int] = set()
        self._num = 0

    def add(self, line: str, sample: int, pictures: Mapping[str, int]) -> None:
        """Take in one sample.

        Args:
            line: Its list line, such as `'train.csv:2'`.
            sample: Hash of the places of all its files.
            pictures: Modality -> hash of what the picture shows.
        """
        name, _, number = line.rpartition(':')
        sample = hash((name, sample))
        if sample in self._samples:
            return
        if self._num < _MOST_REMEMBERED:
            self._samples.add(sample)
        for modality, picture in pictures.items():
            first = self._first.setdefault((name, modality), {})
            if picture in first:
                self._again.setdefault((name, modality), Counter())[picture] += 1
            elif self._num < _MOST_REMEMBERED:
                first[picture] = number
                self._num += 1

    def found(self) -> Iterator[Repeats]:
        """Yield what was counted, for every list and modality that has such pictures."""
        for (name, modality), again in self._again.items():
            picture, most = again.most_common(1)[0]
            line = f'{name}:{self._first[name, modality][picture]}'
            yield Repeats(name, modality, line, len(again), again.total() + len(again), most + 1)
