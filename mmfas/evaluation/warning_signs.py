"""Signs in a set of scores of a mistake that the numbers computed from it would hide."""

from __future__ import annotations

from collections import Counter

import numpy as np

from mmfas.evaluation.functional import Threshold, auc
from mmfas.evaluation.score_rules import ScoreRules
from mmfas.evaluation.score_table import ScoreTable

#: Below this AUC a ranking is not bad but inverted.
TURNED_AUC = 0.2
#: With fewer replicates the ends of an interval of 95 % are the least and the greatest of them.
FEW_REPLICATES = 40
#: So many scores and no more than two values: somebody has rounded decisions into them.
_MANY = 10
#: Relative difference below which scores are one number, computed in batches of another size.
_SAME = 1e-6
#: Start of the one note that is not a warning.
CHOSEN_ON = 'The threshold was chosen on dev'


def ranking_notes(table: ScoreTable, name: str) -> list[str]:
    """Note scores that rank live below attacks, are decisions, or are outside the range of scores of mmfas.

    Args:
        table: Scores of one split.
        name: What the split is called, such as `'dev'`.

    Returns:
        Sentences; none if nothing is odd.
    """
    notes = []
    if table.num_live and table.num_spoof:
        area = auc(table.score, table.is_live)
        if area < TURNED_AUC:
            notes.append(
                f'On {name} the scores rank live below attacks (AUC {area:.1%}): is 1 = live and higher = live? '
                'Turn the scores, or set live_label=0 if the lists label live samples 0.'
            )
    values = np.unique(table.score)
    # of dev scores that are all alike, the note on their threshold says more
    if len(table) >= _MANY and (values.size == 2 or values.size == 1 and name != 'dev'):
        listed = ' and '.join(f'{value:g}' for value in values)
        notes.append(
            f'The {len(table)} {name} scores are {"all " if values.size == 1 else ""}{listed}: they rank nothing '
            'between decisions; give the scores that these were made from.'
        )
    outside = int(((table.score < 0) | (table.score > 1)).sum())
    if outside:
        notes.append(
            f'{outside} of {len(table)} {name} scores lie outside [0, 1], from {table.score.min():g} to '
            f'{table.score.max():g}: those of mmfas are probabilities; if these are, check the decimal points.'
        )
    return notes


def are_alike(table: ScoreTable) -> bool:
    """Tell whether all scores are one number, up to what single precision leaves of it.

    Args:
        table: Scores of one split.
    """
    low, high = float(table.score.min()), float(table.score.max())
    return high - low <= _SAME * max(abs(low), abs(high))


def threshold_notes(dev: ScoreTable, threshold: Threshold, rules: ScoreRules) -> list[str]:
    """Note what a threshold is based on, and dev scores that cannot support it.

    Args:
        dev: Dev scores of both classes, reduced to the level of the rules.
        threshold: What was chosen on them.
        rules: How it was chosen.

    Returns:
        Sentences, the counts first.
    """
    unit = {'frame': 'scores'}.get(rules.level, f'{rules.level}s')
    notes = [f'{CHOSEN_ON} {unit}: {dev.num_live} live, {dev.num_spoof} attacks.']
    if are_alike(dev):
        notes.append(
            f'All {len(dev)} dev scores are {dev.score[0]:g}, so they fix no threshold: {threshold.value:g} is '
            'not a choice of the dev data, and no number at it means anything.'
        )
    return [*notes, *bound_notes(dev, rules)]


def bound_notes(dev: ScoreTable, rules: ScoreRules) -> list[str]:
    """Note a bound that is finer than one dev sample.

    Args:
        dev: Dev scores of both classes, reduced to the level of the rules.
        rules: With the criterion that holds the bound.

    Returns:
        One sentence, or none.
    """
    rule = rules.parsed
    if rule.kind == 'bpcer@apcer':
        name, what, verb = 'APCER', 'attacks', 'accepted'
        counts = Counter(dev.pai[~dev.is_live].tolist())
    elif rule.kind == 'apcer@bpcer':
        name, what, verb = 'BPCER', 'live samples', 'rejected'
        counts = Counter({'live': dev.num_live})
    else:
        return []
    assert rule.value is not None
    target = rule.value
    if target == 0:
        return [f'{name} 0 on dev: no sample may be {verb}, so the threshold depends on a single dev score.']
    few = {kind: count for kind, count in sorted(counts.items()) if count * target < 1}
    if not few:
        return []
    listed = ', '.join(f'{kind} ({count})' for kind, count in few.items())
    smallest = min(few.values())
    return [
        f'{name} {target:.3g} cannot be resolved on dev with so few {what}: {listed}. None of them may be {verb}, '
        f'as one of {smallest} is already {1 / smallest:.1%}.'
    ]
