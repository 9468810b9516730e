"""Thresholds that an installer could set: from a few live videos of the target that are not of its test list."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mmfas.evaluation import ScoreRules, ScoreTable, evaluate_scores

#: Scores -> list of the target that they are of.
LISTS = {'site_val': 'val', 'site_list': 'site'}
#: Scores -> numbers of live videos that set a threshold: the val list of `small` has few, the list `site` 50.
CHOICES = {'site_val': (3, 5), 'site_list': (20, 50)}
#: Largest BPCER on these videos.
MAX_BPCER = 0.1
#: What of a report is kept.
_KEPT = ('threshold', 'hter', 'bpcer', 'apcer_max', 'apcer_pooled')


def site_numbers(sites: Mapping[str, ScoreTable], test: ScoreTable, rules: ScoreRules) -> dict[str, Any]:
    """Judge test scores at thresholds that live videos of the target set.

    Args:
        sites: Scores of `score_sites`.
        test: Test scores; each of its domains is judged with videos of its own.
        rules: Level, bootstrap, and the seed that draws the videos: the same ones for every method.

    Returns:
        `numbers`, one entry per domain and number of videos, and `left_out`, one with the reason for each that the
        lists are too short for.
    """
    numbers, left_out = [], []
    for name, domain, num_videos in _wanted(sites, test):
        site, own = sites[name], test.select(domain=domain)
        head: dict[str, Any] = {'list': LISTS[name], 'domain': domain, 'num_videos': num_videos}
        try:
            at_site = site.select(domain=domain)
            criterion = f'site-{num_videos}@bpcer={MAX_BPCER}'
            report = evaluate_scores(own, site=at_site, rules=rules.changed(criterion=criterion)).to_dict()
        except ValueError as error:
            left_out.append({**head, 'reason': str(error)})
            continue
        numbers.append({**head, 'max_bpcer': MAX_BPCER, **{key: report[key] for key in _KEPT}})
    return {'numbers': numbers, 'left_out': left_out}


def _wanted(sites: Mapping[str, ScoreTable], test: ScoreTable) -> Iterator[tuple[str, str, int]]:
    """Yield scores, domain and number of videos of every threshold."""
    for name in sites:
        for domain in sorted(set(test.domain.tolist())):
            for num_videos in CHOICES[name]:
                yield name, domain, num_videos


def site_hter(site: Mapping[str, Any] | None, num_videos: int) -> float | None:
    """Return the HTER at the threshold of the site: the mean over the domains of the test set.

    Args:
        site: What a record has of it.
        num_videos: Live videos that set the threshold.

    Returns:
        The rate; None where a domain has none.
    """
    if site is None or any(entry['num_videos'] == num_videos for entry in site['left_out']):
        return None
    found = [entry['hter']['value'] for entry in site['numbers'] if entry['num_videos'] == num_videos]
    return sum(found) / len(found) if found else None
