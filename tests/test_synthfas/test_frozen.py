"""Every version of SynthFAS is frozen: whoever changes a list or a picture notices here and raises the version."""

from __future__ import annotations

import hashlib

import pytest

from mmfas.synthfas import (
    DOMAINS,
    RENDERER_VERSION,
    RENDERER_VERSIONS,
    SPLITS,
    Setting,
    plan_split,
    render_video,
)
from mmfas.synthfas.files.layout import list_line, subject_key

#: sha256 of lists, subjects and instruments, seed 0.
PLANS = {
    'tiny': 'f3968d76d4aab054',
    'small': '4fb57627d582358a',
    'medium': '9e9fa4900756a95b',
    'full': '6185155f7da6ad19',
}
#: First live and first attack of the test lists of `tiny`, seed 0: mean and standard deviation of RGB, depth, NIR.
FRAMES = {
    ('C', 'live'): (158.77, 62.71, 69.90, 83.01, 83.78, 8.67),
    ('C', 'print'): (177.69, 44.33, 27.70, 42.23, 56.48, 36.86),
    ('P', 'live'): (179.93, 63.85, 79.76, 90.98, 74.18, 36.61),
    ('P', 'print'): (150.67, 41.80, 108.73, 86.36, 85.62, 29.36),
    ('S', 'live'): (54.43, 61.83, 62.55, 82.54, 50.13, 55.28),
    ('S', 'print'): (70.85, 69.53, 41.77, 52.53, 56.51, 52.00),
    ('W', 'live'): (117.90, 47.24, 45.33, 69.34, 124.27, 52.82),
    ('W', 'papermask'): (155.43, 57.32, 60.08, 59.70, 91.79, 54.43),
}
#: Where 1.1.0 differs: prints and screens of C show less of a photo.
CHANGED = {
    '1.0.0': {('C', 'replay'): (94.17, 25.00, 106.73, 87.81, 229.19, 44.64)},
    '1.1.0': {
        ('C', 'print'): (181.28, 46.11, 22.54, 38.95, 58.38, 37.30),
        ('C', 'replay'): (88.82, 22.77, 84.65, 87.98, 212.11, 54.37),
    },
}
ADVICE = 'SynthFAS is frozen: raise RENDERER_VERSION, keep the earlier one renderable, and add its numbers here.'


def test_numbers_here_are_of_all_versions() -> None:
    assert (*CHANGED,) == RENDERER_VERSIONS, ADVICE
    assert RENDERER_VERSIONS[-1] == RENDERER_VERSION


def test_an_unknown_version_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown renderer version '2.0.0'; choose from 1.0.0, 1.1.0"):
        Setting(renderer='2.0.0')


@pytest.mark.parametrize('version', RENDERER_VERSIONS)
@pytest.mark.parametrize('size', list(PLANS))
def test_lists_are_those_of_the_frozen_version(size: str, version: str) -> None:
    setting = Setting(size, renderer=version)
    text = '\n'.join(
        f'{list_line(setting, plan, frame)} {subject_key(setting, plan)} {plan.pai} {plan.variant} {plan.other}'
        for domain in DOMAINS
        for split in SPLITS
        for plan in plan_split(setting, domain, split)
        for frame in range(plan.num_frames)
    )
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == PLANS[size], ADVICE


@pytest.mark.parametrize('version', RENDERER_VERSIONS)
def test_pictures_are_those_of_the_frozen_version(version: str) -> None:
    setting = Setting('tiny', renderer=version)
    for (domain, pai), expected in {**FRAMES, **CHANGED[version]}.items():
        plan = next(plan for plan in plan_split(setting, domain, 'test') if plan.pai == pai)
        frame = render_video(plan, setting)[0]
        found = [level for part in (frame.rgb, frame.depth, frame.ir) for level in (part.mean(), part.std())]
        # Grey levels; the room is for other versions of numpy and OpenCV, which round otherwise.
        assert found == pytest.approx(expected, abs=0.5), (domain, pai, ADVICE)
