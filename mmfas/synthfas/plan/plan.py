"""Plan a data set: which subject stands before which camera with which instrument, before any pixel is drawn."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from mmfas.synthfas.people.subject import draw_subject
from mmfas.synthfas.plan.domains import DOMAINS, LISTS, RENDERER_VERSION, SITE, SPLITS, Domain, domains_of
from mmfas.synthfas.plan.sites import draw_site, is_site, site_place
from mmfas.synthfas.plan.stress import Stress
from mmfas.synthfas.records import Subject
from mmfas.utils.errors import InputError

__all__ = ['SIZES', 'Setting', 'Size', 'VideoPlan', 'generator', 'plan_site', 'plan_split', 'subject_of']


@dataclass(frozen=True)
class Size:
    """How much is rendered.

    Args:
        name: Name of the size.
        pixels: Side of the pictures.
        supersample: How many times finer they are drawn.
        frames: Frames per domain in (train, val, test).
        train_frames: Most frames a training video has; 1 means as many presentations as pictures.
        site_videos: Live videos per domain in the list 'site'.
    """

    name: str
    pixels: int
    supersample: int
    frames: tuple[int, int, int]
    train_frames: int = 3
    site_videos: int = 50


SIZES: dict[str, Size] = {
    size.name: size
    for size in (
        Size('tiny', 48, 2, (21, 12, 21), site_videos=6),
        Size('small', 64, 2, (300, 100, 600), 1),
        Size('medium', 112, 1, (300, 100, 600)),
        Size('full', 224, 1, (1500, 500, 1200)),
    )
}

#: Every list, however small, holds at least this many live frames.
_MIN_LIVE = 6

_STREAMS = {'subject': 0, 'video': 1, 'frame': 2, 'unseen': 3, 'perturbation': 4, 'order': 5, 'file': 6}


@dataclass(frozen=True)
class Setting:
    """What a folder of data depends on: size, seed, perturbations and version of the renderer."""

    size: str = 'small'
    seed: int = 0
    stress: Stress = Stress()
    renderer: str = RENDERER_VERSION

    def __post_init__(self) -> None:
        """Check size, seed and version.

        Raises:
            ValueError: For an unknown size or version, or a negative seed.
        """
        if self.size not in SIZES:
            raise InputError(f'unknown size {self.size!r}; choose from {", ".join(SIZES)}')
        if self.seed < 0:
            raise InputError(f'seed must be 0 or larger, got {self.seed}')
        domains_of(self.renderer)

    def domain(self, key: str) -> Domain:
        """Return domain 'C', 'P', 'S' or 'W' as this version has it, or a random site of this seed."""
        if is_site(key):
            return draw_site(self.seed, key)
        return domains_of(self.renderer)[key]


@dataclass(frozen=True)
class VideoPlan:
    """One video to render.

    Args:
        domain: 'C', 'P', 'S' or 'W', or a random site.
        split: 'train', 'val', 'test' or 'site'; random sites have 'train' alone.
        index: Number within domain and split.
        subject: Number of the person presented.
        other: Number of another person of the split (holder of a sheet, model of a mask).
        pai: Instrument, 'live' for bona fide.
        variant: Kind of the instrument, '' if there is only one.
        take: How many earlier videos have the same subject, instrument and variant.
        num_frames: Frames of the video that are in the list.
    """

    domain: str
    split: str
    index: int
    subject: int
    other: int
    pai: str
    variant: str
    take: int
    num_frames: int

    @property
    def label(self) -> int:
        """1 for live, 0 for an attack."""
        return int(self.pai == 'live')


def generator(setting: Setting, domain: str, split: str, stream: str, *numbers: int) -> np.random.Generator:
    """Make the generator of one stream of draws; streams are independent of each other.

    Args:
        setting: For its seed.
        domain: Domain key.
        split: Split name.
        stream: 'subject', 'video', 'frame', 'unseen', 'perturbation', 'order' or 'file'.
        numbers: Video, frame or subject numbers.
    """
    first = site_place(domain) if is_site(domain) else (list(DOMAINS).index(domain),)
    place = (*first, LISTS.index(split), _STREAMS[stream])
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence([setting.seed, *place, *numbers])))


def subject_of(setting: Setting, plan: VideoPlan, number: int) -> Subject:
    """Draw the subject `number` of the plan's split; same seed, same person."""
    return _subject(setting, plan.domain, plan.split, number)


@lru_cache(maxsize=1024)
def _subject(setting: Setting, domain: str, split: str, number: int) -> Subject:
    """Draw a subject; people come back in many videos."""
    rng = generator(setting, domain, split, 'subject', number)
    key = f'{domain}{setting.seed}-{split}-{number:03d}'
    return draw_subject(rng, setting.domain(domain).subjects, key, darker=setting.stress.subject_tone)


def _quota(weights: np.ndarray, total: int) -> np.ndarray:
    """Split `total` by weights with the largest-remainder rule."""
    exact = weights / weights.sum() * total
    counts = np.floor(exact).astype(int)
    order = np.argsort(-(exact - counts), kind='stable')
    counts[order[: total - int(counts.sum())]] += 1
    return counts


def _video_lengths(frames: int, per_video: int) -> list[int]:
    """Cut a number of frames into videos; the last may be shorter."""
    full, rest = divmod(frames, per_video)
    return [per_video] * full + ([rest] if rest else [])


def _instruments(setting: Setting, domain: Domain, split: str, count: int) -> list[str]:
    """List the instruments of `count` attack videos, in an order that spreads them over the subjects."""
    mix = domain.test_attacks if split == 'test' else domain.train_attacks
    counts = _quota(np.array([weight for _, weight in mix]), count)
    names = [name for (name, _), times in zip(mix, counts) for _ in range(int(times))]
    order = generator(setting, domain.key, split, 'order').permutation(len(names))
    names = [names[i] for i in order]
    if split == 'test' and setting.stress.unseen_pai:
        draws = generator(setting, domain.key, split, 'unseen').random(len(names))
        names = ['prosthetic' if u < setting.stress.unseen_pai else n for u, n in zip(draws, names)]
    return names


def _num_frames(setting: Setting, domain: Domain, split: str) -> tuple[int, int]:
    """Return the live and the attack frames of a list."""
    size = SIZES[setting.size]
    if split == SITE:
        return size.site_videos * domain.frames, 0
    place = SPLITS.index(split)
    frames = size.frames[place]
    live = max(round(domain.live_fraction[place] * frames), _MIN_LIVE)
    return live, frames - live


def plan_split(setting: Setting, domain_key: str, split: str) -> list[VideoPlan]:
    """Plan all videos of one list.

    Args:
        setting: Size, seed and perturbations.
        domain_key: 'C', 'P', 'S' or 'W'.
        split: 'train', 'val' or 'test'; or 'site': live videos alone.

    Returns:
        Live videos first, as in the real lists. Subjects of different splits have different generators, so splits
        are subject-disjoint by construction.

    >>> plans = plan_split(Setting('small'), 'C', 'test')
    >>> sum(plan.num_frames for plan in plans)
    600
    """
    domain = setting.domain(domain_key)
    live, attacks = _num_frames(setting, domain, split)
    return _plan_videos(setting, domain, split, live=live, attacks=attacks)


def plan_site(setting: Setting, key: str, num_frames: int) -> list[VideoPlan]:
    """Plan the videos of a random site, all of one frame.

    Args:
        setting: Size and seed.
        key: Key of the site, see `mmfas.synthfas.plan.sites`.
        num_frames: Frames, live and attacks together, at least 2.

    Returns:
        Live videos first.
    """
    domain = setting.domain(key)
    live = min(max(round(domain.live_fraction[0] * num_frames), 1), num_frames - 1)
    return _plan_videos(setting, domain, 'train', live=live, attacks=num_frames - live)


def _plan_videos(setting: Setting, domain: Domain, split: str, *, live: int, attacks: int) -> list[VideoPlan]:
    """Plan the videos of a list with so many live frames and frames of attacks."""
    domain_key = domain.key
    per_video = min(domain.frames, SIZES[setting.size].train_frames) if split == 'train' else domain.frames
    lengths = _video_lengths(live, per_video)
    names = ['live'] * len(lengths)
    attack_lengths = _video_lengths(attacks, per_video)
    names += _instruments(setting, domain, split, len(attack_lengths))
    num_subjects = max(len(lengths) // domain.live_per_subject, 2)
    takes: Counter[tuple[int, str]] = Counter()
    plans = []
    for index, (name, length) in enumerate(zip(names, lengths + attack_lengths)):
        subject = index % num_subjects
        rng = generator(setting, domain_key, split, 'video', index)
        other = int((subject + rng.integers(1, num_subjects)) % num_subjects) if num_subjects > 1 else subject
        pai, _, variant = name.partition(':')
        plans.append(
            VideoPlan(domain_key, split, index, subject, other, pai, variant, takes[subject, name], length)
        )
        takes[subject, name] += 1
    return plans
