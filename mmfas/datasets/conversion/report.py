"""The report of a conversion as text: what was odd and what was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ['KINDS', 'ConversionReport', 'Oddity']

#: Kind of oddity -> what it means. The first two leave files unwritten that the lists need.
KINDS = {
    'missing': 'named by the lists, but not in the originals',
    'unreadable': 'in the originals, but cannot be used',
    'index': 'the frames of the files of one recording differ',
    'size': 'of another size than expected; converted anyway',
    'black': 'completely black; converted anyway',
    'label': "the data set's own label contradicts the lists",
    'twice': 'in the originals more than once; the first is used',
    'unlisted': 'in the originals, but no list names it',
    'unknown': 'in the originals, but not understood',
}


@dataclass(frozen=True)
class Oddity:
    """One thing that is odd.

    Args:
        kind: One of `KINDS`.
        place: File, recording or folder: as the lists name it for what they need, else below the originals.
        text: What is odd about it.
    """

    kind: str
    place: str
    text: str


@dataclass(frozen=True)
class ConversionReport:
    """What a run found and made.

    Args:
        title: Name of the data set.
        lines: List -> number of its lines.
        num_targets: Different files that the lists name.
        num_recordings: Recordings (or archives) that they are parts of.
        num_converted: Recordings converted by this run.
        num_kept: Recordings that an earlier run had finished.
        missing: Files that the lists name and that could not be made.
        oddities: Everything odd, of earlier runs too.
    """

    title: str
    lines: Mapping[str, int]
    num_targets: int
    num_recordings: int
    num_converted: int
    num_kept: int
    missing: tuple[str, ...]
    oddities: tuple[Oddity, ...]

    def text(self, show: int | None = None) -> str:
        """Return the report.

        Args:
            show: Oddities of each kind that are listed; None lists all.

        Returns:
            Lines for a terminal or file, the verdict last.
        """
        lists = ', '.join(f'{name} {lines}' for name, lines in self.lines.items())
        lines = [
            f'{self.title}: lists {lists} lines; {self.num_targets} files of {self.num_recordings} recordings',
            f'{self.num_converted} recordings converted, {self.num_kept} found complete',
        ]
        for kind, meaning in KINDS.items():
            lines += self._section(kind, meaning, show)
        made = self.num_targets - len(self.missing)
        verdict = 'all that the lists need is there' if not self.missing else f'{len(self.missing)} missing'
        return '\n'.join((*lines, f'{made}/{self.num_targets} files: {verdict}'))

    def _section(self, kind: str, meaning: str, show: int | None) -> Sequence[str]:
        """Return the lines of one kind; none if nothing of it was found."""
        found = sorted((o.place, o.text) for o in self.oddities if o.kind == kind)
        if not found:
            return ()
        listed = found if show is None else found[:show]
        rest = [f'  ... and {len(found) - len(listed)} more'] if len(found) > len(listed) else []
        return (f'{kind} ({meaning}): {len(found)}', *(f'  {place}: {text}' for place, text in listed), *rest)
