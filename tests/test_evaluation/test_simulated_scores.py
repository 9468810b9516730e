"""Made-up scores have the rates that they were made for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmfas.cli.scores.eval import main as evaluate
from mmfas.cli.scores.simulate import main as simulate
from mmfas.evaluation import ScoreTable
from mmfas.evaluation.simulated_scores import Simulation, simulate_scores


@pytest.mark.parametrize('shift', [0.0, 0.5])
@pytest.mark.parametrize('eer', [0.01, 0.1, 0.5])
def test_rates_are_the_true_ones(eer: float, shift: float) -> None:
    what = Simulation(eer, 40000, 40000, ('print',), shift=shift)
    table = simulate_scores(what, seed=1)
    accepted = table.score >= 0.5
    found = accepted[~table.is_live].mean(), (~accepted[table.is_live]).mean()
    assert found == pytest.approx(what.true_rates, abs=0.01)
    assert what.true_rates == pytest.approx((eer, eer)) or shift


def test_frames_of_a_video_belong_together() -> None:
    table = simulate_scores(Simulation(0.1, 5, 4, ('print', 'mask'), frames=3))
    assert len(table) == 3 * (5 + 2 * 4) and len(set(table.video)) == 13
    logits = np.log(table.score / (1 - table.score)).reshape(13, 3)
    assert logits.std(axis=1).mean() < 0.2 < logits.mean(axis=1).std()
    assert set(table.pai[~table.is_live]) == {'print', 'mask'}
    assert (table.score == simulate_scores(Simulation(0.1, 5, 4, ('print', 'mask'), frames=3)).score).all()


def test_files_are_written_and_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate([str(tmp_path), '--eer', '0.1', '--shift', '1', '--live', '50', '--pai', 'mask']) == 0
    assert 'test.csv: 350 samples; true rates at the threshold 0.5: APCER 38.91 %' in capsys.readouterr().out
    assert evaluate([str(tmp_path / 'test.csv'), '--dev', str(tmp_path / 'dev.csv')]) == 0
    dev, test = (ScoreTable.from_csv(tmp_path / f'{name}.csv') for name in ('dev', 'test'))
    assert test.score.mean() > dev.score.mean() + 0.1


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--eer', '0'], 'must be a finite number above 0 and of at most 0.5'),
        (['--shift', 'nan'], 'must be a finite number'),
        (['--pai', 'live'], 'pais must be'),
    ],
)
def test_what_cannot_be_made_is_refused(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status = simulate([str(tmp_path), *options])
    except SystemExit as stop:  # of the parser
        status = int(str(stop))
    assert status == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
