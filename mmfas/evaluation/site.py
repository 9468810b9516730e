"""The criterion `site`: a threshold from a few live videos of the place where the system will work.

No attack is read and no test sample, so the threshold is one that an installer can have; what it assumes is on the
page about evaluation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmfas.evaluation.functional import Threshold, site_threshold, site_thresholds
from mmfas.evaluation.functional.checks import FloatArray
from mmfas.evaluation.functional.thresholds import SiteCriterion
from mmfas.evaluation.score_rules import ScoreRules
from mmfas.evaluation.score_table import ScoreTable
from mmfas.utils.errors import InputError

#: Streams of the rules' seed: 0 and 1 belong to the intervals of HTER and AUC.
_CHOICE, _OTHER_CHOICES = 2, 3
#: Start of the note that is not a warning.
SITE_NOTE = 'The threshold was set on'


@dataclass(frozen=True)
class SiteChoice:
    """A threshold that was set at a site.

    Args:
        threshold: The threshold, with an origin such as `'site (5 live videos)'`.
        videos: Names of the live videos that set it, sorted.
        notes: What a reader must know about the choice.
    """

    threshold: Threshold
    videos: tuple[str, ...]
    notes: tuple[str, ...]


def site_criterion(rules: ScoreRules) -> SiteCriterion:
    """Return the criterion of rules that set the threshold at a site.

    Args:
        rules: Rules whose criterion is `'site'`, with or without numbers.

    Raises:
        ValueError: If it is another.
    """
    rule = rules.parsed
    if not isinstance(rule, SiteCriterion):
        raise InputError(f"site scores are read by the criterion 'site', got '{rules.criterion}'")
    return rule


def choose_at_site(site: ScoreTable, rules: ScoreRules) -> SiteChoice:
    """Set the threshold on live videos of a site.

    Which of them is drawn with the seed of the rules; the order of the samples does not matter, nor do attacks.

    Args:
        site: Scores of one site, one per frame; every live sample names its video.
        rules: How many videos, which BPCER, at which level.

    Returns:
        The threshold and how it came about.

    Raises:
        ValueError: If there are fewer live videos than the criterion wants, or they are of several domains.
    """
    rule = site_criterion(rules)
    videos = _live_videos(site, rules, rule.num_videos)
    rng = np.random.default_rng([rules.seed, _CHOICE])
    picked = sorted(rng.choice(len(videos), rule.num_videos, replace=False).tolist())
    names = list(videos)
    chosen = {names[index]: videos[names[index]] for index in picked}
    scores = np.concatenate(list(chosen.values()))
    threshold = Threshold(site_threshold(scores, target=rule.max_bpcer), rule.origin)
    notes = _notes(site, rule, num_videos=len(videos), scores=scores, threshold=threshold, level=rules.level)
    return SiteChoice(threshold, tuple(chosen), tuple(notes))


def set_at_site(test: ScoreTable, site: ScoreTable | None, rules: ScoreRules) -> SiteChoice:
    """Set the threshold for test scores on live videos of the same site.

    Args:
        test: Scores it will be applied to; of them only domains and names of videos are read.
        site: As for `choose_at_site`; None is refused.
        rules: As there.

    Returns:
        The threshold and how it came about.

    Raises:
        ValueError: If there are no site scores, a video is in both, test is of several domains, or as
            `choose_at_site`.
    """
    if site is None:
        raise InputError(
            f"the criterion '{rules.criterion}' needs scores of live videos of the target: give --site SITE.csv "
            'to `mmfas scores`, --site-scores SITE.csv or site_dataloader to `mmfas test` (site= in Python)'
        )
    refuse_several_sites(test, 'test')
    names = [
        {f'{domain}/{video}' for domain, video in zip(table.domain.tolist(), table.video.tolist()) if video}
        for table in (test, site)
    ]
    common = sorted(names[0] & names[1])
    if common:
        raise InputError(
            f"{len(common)} videos are in both site and test, the first '{common[0]}'; a threshold set on frames "
            'of test videos is an oracle. Give site scores of other recordings'
        )
    return choose_at_site(site, rules)


def drawn_thresholds(site: ScoreTable | None, rules: ScoreRules) -> FloatArray | None:
    """Return the thresholds of a bootstrap over the choice of the videos.

    Args:
        site: As for `choose_at_site`.
        rules: As there; `num_bootstrap` says how many.

    Returns:
        Thresholds, one per replicate; None where no live videos set the threshold, or no intervals are wanted.

    Raises:
        ValueError: As `choose_at_site`.
    """
    if site is None or rules.parsed.kind != 'site' or rules.num_bootstrap < 1:
        return None
    rule = site_criterion(rules)
    return site_thresholds(
        list(_live_videos(site, rules, rule.num_videos).values()),
        rule.num_videos,
        target=rule.max_bpcer,
        rng=np.random.default_rng([rules.seed, _OTHER_CHOICES]),
        num_replicates=rules.num_bootstrap,
    )


def refuse_several_sites(table: ScoreTable, what: str) -> None:
    """Raise unless scores are of one domain: a threshold that is set at a site belongs to it alone.

    Args:
        table: Scores.
        what: What they are called, `'test'` or `'site'`.

    Raises:
        ValueError: If they are of several domains.
    """
    domains = sorted(set(table.domain.tolist()))
    if len(domains) > 1:
        raise InputError(
            f"the {what} scores are of {len(domains)} domains ({', '.join(domains)}), but the criterion 'site' "
            'sets the threshold of one site; judge each with the scores of its own site'
        )


def _live_videos(site: ScoreTable, rules: ScoreRules, wanted: int) -> dict[str, FloatArray]:
    """Return the scores of every live video, by name, sorted; at video level one each."""
    remedy = f'record more, or ask for fewer (--k, or criterion site-K): {wanted} are wanted'
    if not site.num_live:
        raise InputError(f'the site scores have no live video; {remedy}')
    refuse_several_sites(site, 'site')
    live = rules.reduce(site.take(site.is_live))
    groups = live.sample_id if rules.level == 'video' else live.group_ids('video')
    names, index = np.unique(groups, return_inverse=True)
    if names.size < wanted:
        raise InputError(f'the site scores have {names.size} live videos; {remedy}')
    index = index.reshape(-1)
    return {str(name): live.score[index == number] for number, name in enumerate(names)}


def _notes(
    site: ScoreTable, rule: SiteCriterion, *, num_videos: int, scores: FloatArray, threshold: Threshold, level: str
) -> list[str]:
    """Say what the threshold rests on."""
    rejected = int((scores < threshold.value).sum())
    unit = 'scores' if level == 'frame' else 'scores, one per video'
    notes = [
        f'{SITE_NOTE} {rule.num_videos} of {num_videos} live videos of the site ({scores.size} {unit}), '
        f'BPCER at most {100 * rule.max_bpcer:g} % on them: {rejected} rejected. No attack and no test sample was '
        'used; it assumes that live faces of the test score as these do, and promises nothing about attacks.'
    ]
    if rule.max_bpcer * scores.size < 1:
        notes.append(
            f'BPCER {rule.max_bpcer:.3g} cannot be resolved on {scores.size} scores of the site: none may be '
            f'rejected, and of new live faces about 1 in {scores.size + 1} will be if scores are independent.'
        )
    if site.num_spoof:
        notes.append(f'{site.num_spoof} attacks among the site scores were not read.')
    return notes
