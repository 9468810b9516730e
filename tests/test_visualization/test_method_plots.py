"""Methods side by side: every bar is the rate of its method, every whisker its Wilson interval."""

from __future__ import annotations

import numpy as np
import pytest

from mmfas.evaluation import ScoreTable, Threshold
from mmfas.visualization import plot_pai_comparison

ROWS = [
    ('live', 0.9),
    ('live', 0.4),
    ('print', 0.1),
    ('print', 0.6),
    ('print', 0.2),
    ('print', 0.3),
    ('mask3d', 0.8),
]
THRESHOLDS = {'a': Threshold(0.5, 'dev-eer'), 'b': Threshold(0.7, 'dev-eer')}


def _table() -> ScoreTable:
    return ScoreTable.from_records(
        dict(sample_id=str(i), label=int(pai == 'live'), pai=pai, score=score)
        for i, (pai, score) in enumerate(ROWS)
    )


def test_bars_are_the_rates_at_each_methods_threshold() -> None:
    figure = plot_pai_comparison({'a': _table(), 'b': _table()}, thresholds=THRESHOLDS)
    axes = figure.axes[0]
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert labels == ['BPCER (live, 2)', 'APCER mask3d (1)', 'APCER print (4)']
    bars = [container for container in axes.containers if hasattr(container, 'patches')]
    assert [bar.get_label() for bar in bars] == ['a', 'b']
    assert [[patch.get_width() for patch in bar.patches] for bar in bars] == [[50, 100, 25], [50, 100, 0]]
    # Wilson interval of 1 of 4: 4.56 to 69.94 %.
    whisker = axes.collections[0].get_segments()[2]
    np.testing.assert_allclose(whisker[:, 0], [4.56, 69.94], atol=0.01)
    centres = [[patch.get_y() + patch.get_height() / 2 for patch in bar.patches] for bar in bars]
    np.testing.assert_allclose(np.mean(centres, axis=0), axes.get_yticks())


def test_methods_that_lost_samples_stand_in_the_same_rows() -> None:
    table = _table()
    figure = plot_pai_comparison({'a': table, 'b': table.take(range(1, 6))}, thresholds=THRESHOLDS)
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert labels == ['BPCER (live, 1 to 2)', 'APCER mask3d (1)', 'APCER print (4)']


def test_nothing_to_draw_is_refused() -> None:
    with pytest.raises(ValueError, match='at least one score table'):
        plot_pai_comparison({}, thresholds={})
