"""The gate before a verdict: pictures that show nothing, or the wrong thing, are not judged.

| code | reason | modality |
| --- | --- | --- |
| `'no content'` | black, white or one value: 98 % of all values span at most 3 of 255 levels | all |
| `'no content'` | black but for noise: 99 % of all values are at most 8 | rgb, ir |
| `'saturated'` | at least three quarters of the values are 255 | rgb, ir |
| `'no depth'` | readings in less than 5 % of the pixels | depth |
| `'outside the range'` | at least 99 % of the readings are outside what becomes 0..255 | 16-bit depth, ir |
| `'one file twice'` | two modalities are one file, copies of one, or the same pixels | pairs |

These are refusals: no model can tell anything from such a picture, yet every model gives it a score. What live
recordings have too is only noted: a picture of which half is at 255 (a bright window), half of the depth beyond
the range (a background far away), a value that means "no reading" in many pixels, files that carry different
orientations. Of the 894 live frames in the val and test lists of SynthFAS (size small) the gate refuses none.

The gate does not know a face: a wall with a pattern passes it, and is left to the model or to a face detector. Nor
does it know which modalities must be there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mmfas.datasets.content import Fact, facts_of_files
from mmfas.datasets.transforms.loading import LoadedFile, LoadMultiModalImages

__all__ = ['Refusal', 'judge_quality', 'quality_notes']

_REFUSED = ('no content', 'outside the range', 'one file twice')
#: Findings on a picture that a refusal says better.
_SAID_BETTER = {
    'no depth': ('no content', 'saturated'),
    'no content': ('no content',),
    'saturated': ('saturated', 'clipped'),
}
#: Depth with readings in fewer of its pixels than this says nothing.
_LEAST_READINGS = 0.05
#: Values up to this level are black but for noise, and "no reading" in 8-bit depth, as JPEG does not keep the 0.
_BLACK = 8
#: A picture of colour or infrared is black if more of its values are than this.
_MOST_BLACK = 0.99
#: A picture of colour or infrared is saturated from this fraction of its values on.
_MOST_SATURATED = 0.75


@dataclass(frozen=True)
class Refusal:
    """One reason why a sample is not judged, or a note on it.

    Args:
        code: Short name of the reason, see the table of this module.
        modality: Modality, or two of them as `'rgb and ir'`.
        message: Sentence that names the modality, without a full stop.
    """

    code: str
    modality: str
    message: str


def _as_refusal(code: str, fact: Fact) -> Refusal:
    """Put a fact into a sentence."""
    several = ' and ' in fact.modality
    subject = fact.modality if several else f'the {fact.modality} picture'
    return Refusal(code, fact.modality, f'{subject} {fact.verdict(several=several)}')


def _readings(file: LoadedFile, loader: LoadMultiModalImages) -> float:
    """Return the fraction of pixels of a depth picture that have a reading."""
    if file.raw is not None and file.raw.dtype == np.uint16:
        return 1.0 - float(np.isin(file.raw, loader.no_reading).mean())
    return float((file.image > _BLACK).mean())


def _own_refusals(files: Sequence[LoadedFile], loader: LoadMultiModalImages) -> Iterator[Refusal]:
    """Yield the reasons that are none for a list of pictures, where they occur now and then."""
    for file in files:
        name = file.modality
        if name == 'depth':
            part = _readings(file, loader)
            if part < _LEAST_READINGS:
                text = f'has readings in {part:.1%} of its pixels, but at least {_LEAST_READINGS:.0%} are needed'
                yield Refusal('no depth', name, f'the depth picture {text}')
        elif (file.image <= _BLACK).mean() >= _MOST_BLACK:
            text = f'is black: {_MOST_BLACK:.0%} of its values are at most {_BLACK} of 255'
            yield Refusal('no content', name, f'the {name} picture {text}')
        elif (part := float((file.image == 255).mean())) >= _MOST_SATURATED:
            yield Refusal('saturated', name, f'the {name} picture is saturated: {part:.0%} of its values are 255')


def _findings(files: Sequence[LoadedFile], loader: LoadMultiModalImages) -> Iterator[tuple[bool, Refusal]]:
    """Yield (whether it refuses, finding)."""
    facts = facts_of_files(files, loader)
    own = {found.modality: found for found in _own_refusals(files, loader)}
    refused = {fact.modality for fact in facts if fact.kind in _REFUSED}
    for fact in facts:
        better = own.get(fact.modality)
        if better is None or fact.kind not in _SAID_BETTER[better.code]:
            yield fact.kind in _REFUSED, _as_refusal(fact.kind, fact)
    for found in own.values():
        if found.code != 'saturated' or found.modality not in refused:
            yield True, found


def judge_quality(files: Sequence[LoadedFile], loader: LoadMultiModalImages) -> list[Refusal]:
    """Say why a sample should not be judged.

    Args:
        files: Pictures of the sample, as the loader showed them to its watcher: `files: list[LoadedFile] = []`,
            `loader.load(sample, files.append)`.
        loader: That loader, for its ranges.

    Returns:
        The reasons; empty if there are none.
    """
    return [found for refuses, found in _findings(files, loader) if refuses]


def quality_notes(files: Sequence[LoadedFile], loader: LoadMultiModalImages) -> list[Refusal]:
    """Say what is remarkable about a sample, but no reason to refuse it.

    Args:
        files: As for `judge_quality`.
        loader: As for `judge_quality`.

    Returns:
        The notes; empty if there are none.
    """
    return [found for refuses, found in _findings(files, loader) if not refuses]
