"""Checks of what the pictures of a list show: files that decode but are empty or show the wrong thing."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np

from mmfas.datasets.image_formats import read_header, turned
from mmfas.datasets.repeated_pictures import RepeatedPictures
from mmfas.datasets.transforms.loading import LoadedFile, LoadMultiModalImages

__all__ = ['ContentFinding', 'ContentReport', 'Fact', 'facts_of', 'facts_of_files']

#: Between its 1st and 99th percentile a picture without content spans at most this many of 255 levels.
_FLAT_LEVELS = 3
#: A flat picture is called black or white if its median is this close to 0 or 255.
_NEAR_END = 8
#: A picture counts as saturated, or its depth as clipped, from this fraction of its pixels on.
_MOST_SATURATED = 0.5
#: The largest raw value of a depth picture looks like "no reading" from this fraction of its pixels on.
_MOST_AT_TOP = 0.1
#: A picture as a whole counts as outside the range from this fraction of its readings on.
_ALL_OUTSIDE = 0.99
#: A picture shows another one in grey if their values differ by this on average, of 255, ...
_MOST_GREY_DIFFERENCE = 2.0
#: ... agree in where it is light and dark (JPEG alone leaves 0.998 and more) ...
_LEAST_GREY_CORRELATION = 0.995
#: ... and span at least this standard deviation.
_LEAST_CONTRAST = 4.0
#: Kinds of facts about pictures that look alike for another reason.
_SHOW_NOTHING = ('no content', 'outside the range')
#: Largest 16-bit value.
_HIGHEST = 65535
#: If more pictures of a list than this have no content, the list is broken; fewer occur in good recordings.
_MOST_FLAT = 0.5


@dataclass(frozen=True)
class ContentFinding:
    """What is remarkable about the pictures of one list.

    Args:
        kind: Such as `'no content'` or `'one file twice'`.
        line: First list line that shows it.
        message: What, with counts.
        is_warning: Whether it may be intended, so that it does not fail the check.
    """

    kind: str
    line: str
    message: str
    is_warning: bool


#: Words that a fact says in other ways of one picture and of several.
_OF_SEVERAL = {'are': 'are', 'have': 'have', 'show': 'show', 'their': 'their'}
_OF_ONE = {'are': 'is', 'have': 'has', 'show': 'shows', 'their': 'its'}


@dataclass(frozen=True)
class Fact:
    """One remarkable thing about one sample; equal `kind`, `modality` and `text` are counted together.

    Args:
        kind: Such as `'no content'` or `'one file twice'`.
        modality: Modality, or two of them as `'rgb and ir'`.
        text: What, with `{are}`, `{have}`, `{show}`, `{their}` for one picture or several and `{span}`.
        span: Lowest and highest value of the picture that the text names.
    """

    kind: str
    modality: str
    text: str
    span: tuple[int, int] | None = None

    def verdict(self, *, several: bool) -> str:
        """Say what is remarkable, as the end of a sentence.

        Args:
            several: Whether its subject is in the plural.

        >>> Fact('no content', 'ir', '{are} black {span}', (0, 3)).verdict(several=False)
        'is black (0..3)'
        """
        values = f'({self.span[0]}..{self.span[1]})' if self.span else ''
        return self.text.format(span=values, **(_OF_SEVERAL if several else _OF_ONE))


@dataclass(frozen=True)
class _SampleFacts:
    """What was seen in one sample."""

    line: str
    modalities: tuple[str, ...]
    facts: tuple[Fact, ...]
    places: Mapping[str, str] = field(default_factory=dict)
    #: Hash of the places of all files, and modality -> hash of what a picture with content shows.
    sample: int = 0
    pictures: Mapping[str, int] = field(default_factory=dict)


def _flat_fact(modality: str, image: np.ndarray, scaling: str) -> Fact | None:
    """Recognise a picture without content."""
    counts = np.bincount(image.reshape(-1), minlength=256)
    below = np.cumsum(counts)
    low, middle, high = (int(np.searchsorted(below, part * image.size)) for part in (0.01, 0.5, 0.99))
    if high - low > _FLAT_LEVELS:
        if counts[255] / image.size < _MOST_SATURATED:
            return None
        text = f'{{are}} saturated: at least half of {{their}} values are 255{scaling}'
        return Fact('saturated', modality, text)
    if middle <= _NEAR_END:
        return Fact('no content', modality, f'{{are}} black{scaling} {{span}}', (low, high))
    if middle >= 255 - _NEAR_END:
        return Fact('no content', modality, f'{{are}} white{scaling} {{span}}', (low, high))
    return Fact('no content', modality, f'{{show}} one value all over{scaling} {{span}}', (low, high))


def _range_fact(file: LoadedFile, loader: LoadMultiModalImages, holes: np.ndarray) -> Fact | None:
    """Compare the raw values of a 16-bit picture with the range that becomes 0..255."""
    assert file.raw is not None
    name = 'depth_range_mm' if file.modality == 'depth' else 'ir_range'
    low, high = getattr(loader, name)
    values = file.raw[~holes]
    if not values.size:
        return None
    above, below = float((values > high).mean()), float((values < low).mean())
    span = (int(values.min()), int(values.max()))
    if above + below >= _ALL_OUTSIDE:
        where = 'outside' if min(above, below) > 1 - _ALL_OUTSIDE else 'above' if above > below else 'below'
        left = {'above': 'one value (255)', 'below': 'one value (0)', 'outside': 'two values (0 and 255)'}[where]
        part = 'all' if above + below == 1 else 'nearly all'
        text = (
            f'{{have}} {left} after {name}={(low, high)}: {part} raw values {{span}} lie {where} it; '
            'give the range in the unit of the files'
        )
        return Fact('outside the range', file.modality, text, span)
    if above + below >= _MOST_SATURATED:
        text = f'{{have}} at least half of {{their}} raw values {{span}} outside {name}={(low, high)}'
        return Fact('clipped', file.modality, text, span)
    return None


def _hole_fact(file: LoadedFile, loader: LoadMultiModalImages) -> Fact | None:
    """Look for a largest raw value that stands for "no reading"."""
    assert file.raw is not None
    top = int(file.raw.max())
    if top == 0 or (file.raw == top).mean() < _MOST_AT_TOP:
        return None
    if top in loader.no_reading:
        means = f'no_reading={loader.no_reading} makes it black'
    elif file.raw.min() < top and (top == _HIGHEST or loader.depth_range_mm and top > loader.depth_range_mm[1]):
        means = 'if it means "no reading", name it in no_reading, for now it is the farthest distance'
    else:
        return None
    text = f'{{have}} the raw value {top} in at least 10 % of {{their}} pixels; {means}'
    return Fact('no reading', 'depth', text)


def _file_facts(file: LoadedFile, loader: LoadMultiModalImages) -> Iterator[Fact]:
    """Yield what is remarkable about one file."""
    scaling = ''
    if file.raw is not None and file.raw.dtype == np.uint16:
        is_depth = file.modality == 'depth'
        holes = np.isin(file.raw, loader.no_reading) if is_depth else np.zeros(file.raw.shape, bool)
        if is_depth and (found := _hole_fact(file, loader)):
            yield found
        if found := _range_fact(file, loader, holes):
            yield found
            return
        name = 'depth_range_mm' if is_depth else 'ir_range'
        scaling = f' after {name}={getattr(loader, name)}'
    if found := _flat_fact(file.modality, file.image, scaling):
        yield found


def _same_pixels(first: LoadedFile, second: LoadedFile) -> bool:
    """Whether two pictures are equal, as they were or as the sample gets them, and not of one value."""
    shown = [(first.image, second.image)]
    if first.raw is not None and second.raw is not None:  # depth and infrared have other ranges
        shown.append((first.raw, second.raw))
    return any(one.min() != one.max() and np.array_equal(one, other) for one, other in shown)


def _shows_in_grey(first: LoadedFile, second: LoadedFile) -> bool:
    """Whether depth or infrared is the colour picture in grey, perhaps compressed once more."""
    if 'rgb' not in (first.modality, second.modality) or first.image.shape != second.image.shape:
        return False
    one, other = (cv2.cvtColor(file.image, cv2.COLOR_RGB2GRAY).astype(np.float32) for file in (first, second))
    if min(one.std(), other.std()) < _LEAST_CONTRAST or np.abs(one - other).mean() > _MOST_GREY_DIFFERENCE:
        return False
    return bool(np.corrcoef(one.reshape(-1), other.reshape(-1))[0, 1] >= _LEAST_GREY_CORRELATION)


def _pair_facts(files: Sequence[LoadedFile]) -> Iterator[Fact]:
    """Yield what is remarkable about two files of a sample together."""
    for number, first in enumerate(files):
        for second in files[number + 1 :]:
            pair = f'{first.modality} and {second.modality}'
            if first.data and first.path and os.path.realpath(first.path) == os.path.realpath(second.path):
                yield Fact('one file twice', pair, 'are one file')
            elif first.data and first.data == second.data:
                yield Fact('one file twice', pair, 'are copies of one file')
            elif _same_pixels(first, second):
                yield Fact('one file twice', pair, 'show the same picture, pixel by pixel')
            elif _shows_in_grey(first, second):
                yield Fact('one file twice', pair, 'show the same picture, in colour and in grey')
    turns = {file.modality: turned(read_header(file.data)) for file in files if file.data}
    if len(set(turns.values())) > 1:
        text = ', '.join(f'{modality} {turn}' for modality, turn in turns.items())
        yield Fact('orientation', ' and '.join(turns), f'carry different orientations ({text}); each is obeyed')


def facts_of_files(files: Sequence[LoadedFile], loader: LoadMultiModalImages) -> tuple[Fact, ...]:
    """Look at the pictures of one sample.

    Args:
        files: What the loader showed its watcher.
        loader: That loader, for its ranges.

    Returns:
        What is remarkable about single pictures, then about pairs.
    """
    return (*(fact for file in files for fact in _file_facts(file, loader)), *_pair_facts(files))


def facts_of(loader: LoadMultiModalImages, info: Mapping[str, Any], modalities: Sequence[str]) -> _SampleFacts:
    """Load a sample and look at its pictures.

    Args:
        loader: How it is loaded.
        info: The sample, as the data set describes it.
        modalities: Which are loaded.

    Returns:
        What is remarkable.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If it cannot be loaded.
    """
    files: list[LoadedFile] = []
    loader.load({**info, 'modalities': modalities}, files.append)
    modalities = tuple(file.modality for file in files)
    places = {file.modality: os.path.realpath(file.path) for file in files if file.data and file.path}
    facts = facts_of_files(files, loader)
    empty = {fact.modality for fact in facts if fact.kind in _SHOW_NOTHING}
    shown = {file.modality: hash(file.image.tobytes()) for file in files if file.modality not in empty}
    sample = hash(tuple(sorted(os.path.realpath(path) for path in info.get('img_paths', {}).values())))
    return _SampleFacts(info['source_line'], modalities, facts, places, sample, shown)


class ContentReport:
    """Counts what is remarkable, list by list."""

    def __init__(self) -> None:
        self._num: Counter[tuple[str, tuple[str, ...]]] = Counter()
        self._found: dict[tuple[str, Fact], list[Any]] = {}
        self._place: dict[int, str] = {}  # hash of a path -> modality
        self._repeated = RepeatedPictures()

    def add(self, sample: _SampleFacts) -> None:
        """Count one sample.

        Args:
            sample: What `facts_of` returned.
        """
        name = sample.line.rpartition(':')[0]
        self._num[name, sample.modalities] += 1
        self._repeated.add(sample.line, sample.sample, sample.pictures)
        for fact in (*sample.facts, *self._elsewhere(sample)):
            entry = self._found.setdefault(
                (name, Fact(fact.kind, fact.modality, fact.text)), [0, sample.line, fact.span]
            )
            entry[0] += 1
            if fact.span and entry[2]:
                entry[2] = (min(entry[2][0], fact.span[0]), max(entry[2][1], fact.span[1]))

    def _elsewhere(self, sample: _SampleFacts) -> Iterator[Fact]:
        """Yield the files that are another modality of another sample."""
        places = list(sample.places.values())
        for modality, place in sample.places.items():
            first = self._place.setdefault(hash(place), modality)
            if first != modality and places.count(place) == 1:
                yield Fact('one file twice', modality, f'are {first} pictures of other samples')

    def findings(self) -> list[ContentFinding]:
        """Return what was found, by list and kind.

        Returns:
            One finding per list, kind, modality and reason, with counts.
        """
        out = []
        for (name, fact), (count, line, span) in self._found.items():
            involved = set(fact.modality.split(' and '))
            total = self._total(name, involved)
            what = f'{fact.modality} pictures' if len(involved) == 1 else f'samples: {fact.modality}'
            message = f'{count} of {total} {what} {replace(fact, span=span).verdict(several=True)}'
            out.append(ContentFinding(fact.kind, line, message, self._is_warning(fact.kind, count, total)))
        return out + list(self._repeats())

    def _total(self, name: str, involved: set[str]) -> int:
        """Return the number of samples of a list that have these modalities."""
        return sum(num for (of, loaded), num in self._num.items() if of == name and involved <= set(loaded))

    def _repeats(self) -> Iterator[ContentFinding]:
        """Yield the modalities of which samples share pictures."""
        for found in self._repeated.found():
            total = self._total(found.list_name, {found.modality})
            several = f', the most frequent one in {found.most}' if found.num_pictures > 1 else ''
            message = (
                f'{found.num_samples} of {total} {found.modality} pictures are not of one sample alone: '
                f'{found.num_pictures} picture(s) in several samples, pixel by pixel{several}'
            )
            is_warning = found.most <= _MOST_FLAT * total
            yield ContentFinding('one picture in many samples', found.line, message, is_warning)

    @staticmethod
    def _is_warning(kind: str, count: int, total: int) -> bool:
        """Whether a finding may be intended."""
        if kind == 'one file twice':
            return False
        return kind not in _SHOW_NOTHING or count <= _MOST_FLAT * total
