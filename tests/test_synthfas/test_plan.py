"""Plans: counts, ratios, disjoint subjects, names."""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from itertools import combinations

import pytest

from mmfas.synthfas import (
    DOMAINS,
    PERTURBATIONS,
    SIZES,
    SPLITS,
    Setting,
    Stress,
    VideoPlan,
    parse_stress,
    plan_split,
)
from mmfas.synthfas.files.layout import list_line, sample_id, subject_key
from mmfas.synthfas.plan.plan import subject_of


def frames(plans: list[VideoPlan], label: int | None = None) -> int:
    """Count frames, of one label or all."""
    return sum(plan.num_frames for plan in plans if label is None or plan.label == label)


@pytest.mark.parametrize('size', list(SIZES))
def test_counts(size: str) -> None:
    for number, split in enumerate(SPLITS):
        for domain in DOMAINS:
            plans = plan_split(Setting(size), domain, split)
            assert frames(plans) == SIZES[size].frames[number]
            assert frames(plans, 1) >= 6
            assert len({plan.pai for plan in plans}) >= 2  # S has prints only, as CASIA-SURF


def test_small_holds_the_promised_triples() -> None:
    totals = [sum(frames(plan_split(Setting(), domain, split)) for domain in DOMAINS) for split in SPLITS]
    assert totals == [1200, 400, 2400]
    assert all(frames(plan_split(Setting(), domain, 'test'), 1) >= 150 for domain in DOMAINS)
    full = sum(frames(plan_split(Setting('full'), domain, split)) for domain in DOMAINS for split in SPLITS)
    assert full >= 12000


def test_label_ratios_are_those_of_the_records() -> None:
    for domain in DOMAINS.values():
        for number, split in enumerate(SPLITS):
            plans = plan_split(Setting('full'), domain.key, split)
            assert frames(plans, 1) / frames(plans) == pytest.approx(domain.live_fraction[number], abs=0.01)


def test_test_lists_hold_attacks_that_train_never_saw() -> None:
    for domain, new in (('C', {'mask3d', 'silicone'}), ('W', {'papermask'})):
        seen = {plan.pai for split in ('train', 'val') for plan in plan_split(Setting(), domain, split)}
        assert {plan.pai for plan in plan_split(Setting(), domain, 'test')} - seen == new


@pytest.mark.parametrize('size', ['tiny', 'small', 'full'])
def test_names_are_unique_and_splits_share_no_subject(size: str) -> None:
    setting = Setting(size)
    subjects: dict[tuple[str, str], set[str]] = {}
    names: list[str] = []
    for domain in DOMAINS:
        for split in SPLITS:
            plans = plan_split(setting, domain, split)
            subjects[domain, split] = {subject_key(setting, plan) for plan in plans}
            names += [sample_id(setting, plan, frame) for plan in plans for frame in range(plan.num_frames)]
            lines = [list_line(setting, plan, frame) for plan in plans for frame in range(plan.num_frames)]
            folders = {line.split()[0] for line in lines}
            assert len(folders) == len(lines)
    assert len(set(names)) == len(names)
    for one, other in combinations(subjects.values(), 2):
        assert not one & other


def test_no_two_seeds_share_a_subject() -> None:
    people = []
    for seed in (0, 1):
        setting = Setting('small', seed)
        for split in SPLITS:
            plans = plan_split(setting, 'C', split)
            people += [subject_of(setting, plan, plan.subject) for plan in plans if plan.label]
    assert len({person.key for person in people}) == len(people)
    assert len({(person.half_width_mm, person.texture_seed) for person in people}) == len(people)


def test_no_two_splits_domains_or_seeds_share_a_face() -> None:
    faces: dict[tuple[object, ...], tuple[int, str, str, int]] = {}
    for seed in (0, 1):
        setting = Setting('small', seed)
        for domain in DOMAINS:
            for split in SPLITS:
                plans = plan_split(setting, domain, split)
                people = {number: plan for plan in plans for number in (plan.subject, plan.other)}
                for number, plan in people.items():
                    drawn = asdict(subject_of(setting, plan, number))
                    # What is drawn, not the key: keys name their split and would differ for the same face.
                    face = tuple(value for name, value in drawn.items() if name.endswith('_mm'))
                    assert face not in faces, (faces.get(face), (seed, domain, split, number))
                    faces[face] = (seed, domain, split, number)
    assert len(faces) > 900


@pytest.mark.parametrize(
    ('domain', 'pattern'), [('C', r'/[12]_(\d{3})_'), ('S', r'CLKJ_[A-H]S(\d{4})/'), ('W', r'/(\d{3})_\d\d_')]
)
def test_subject_numbers_in_the_folders_of_splits_differ(domain: str, pattern: str) -> None:
    setting = Setting('full')
    numbers = []
    for split in SPLITS:
        lines = [list_line(setting, plan, 0) for plan in plan_split(setting, domain, split)]
        numbers.append({match[1] for line in lines if (match := re.search(pattern, line))})
        assert all(re.search(pattern, line) for line in lines)
    for one, other in combinations(numbers, 2):
        assert not one & other


def test_the_same_seed_draws_the_same_person() -> None:
    plan = plan_split(Setting(), 'W', 'train')[0]
    assert subject_of(Setting(), plan, 0) == subject_of(Setting(), plan, 0)


def test_subject_tone_darkens_everybody_and_changes_nothing_else() -> None:
    for domain in DOMAINS:
        for plan in plan_split(Setting(), domain, 'test')[::10]:
            light, dark = (subject_of(Setting(stress=Stress(subject_tone=v)), plan, 0) for v in (0.0, 1.0))
            assert dark.melanin == pytest.approx(1.0)
            assert replace(dark, melanin=light.melanin) == light


def test_unseen_pai_replaces_attacks_of_the_test_list_alone() -> None:
    def count(split: str, value: float) -> tuple[int, int]:
        plans = plan_split(Setting(stress=Stress(unseen_pai=value)), 'S', split)
        return sum(plan.pai == 'prosthetic' for plan in plans), sum(plan.label for plan in plans)

    assert count('train', 1.0)[0] == 0
    some, every = count('test', 0.5), count('test', 1.0)
    assert count('test', 0.0)[0] == 0 < some[0] < every[0] == 150
    assert some[1] == every[1]


@pytest.mark.parametrize(
    ('word', 'text'),
    [
        ('fog=0.5', "unknown perturbation 'fog'; choose from depth_noise"),
        ('blur=2', 'perturbation blur must lie in 0..1'),
        ('blur', 'perturbation blur needs a number, as in blur=0.5'),
        ('blur=much', 'perturbation blur needs a number'),
        ('blur=0.1 blur=0.2', 'perturbation blur is there twice; give it once'),
    ],
)
def test_bad_perturbations_are_refused(word: str, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        parse_stress(word.split())


def test_every_perturbation_is_parsed() -> None:
    for name in PERTURBATIONS:
        assert parse_stress([f'{name}=0.25']).as_dict() == {name: 0.25}


def test_bad_size_and_seed_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown size 'huge'; choose from tiny, small"):
        Setting('huge')
    with pytest.raises(ValueError, match='seed must be 0 or larger, got -1'):
        Setting(seed=-1)
