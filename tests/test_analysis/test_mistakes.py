"""The worst mistakes of score files, and their pictures."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from mmfas.analysis.mistakes import find_samples, load_pictures
from mmfas.cli.vis.worst import main
from mmfas.datasets import MultiModalFaceDataset
from mmfas.evaluation import ScoreTable
from mmfas.evaluation.functional import Threshold
from mmfas.evaluation.worst_samples import worst_samples
from mmfas.utils.errors import InputError
from mmfas.visualization.mistake_plots import draw_mistakes

SCORES = {'live0': 0.9, 'live1': 0.2, 'live2': 0.4, 'print0': 0.1, 'print1': 0.95, 'mask0': 0.6, 'mask1': 0.6}


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of one grey each, print1 without ir; a list and a score file of them."""
    root = tmp_path_factory.mktemp('worst')
    lines = ['sample_id,rgb,depth,ir,label,domain,pai']
    records = []
    for number, (name, score) in enumerate(SCORES.items()):
        pai = name[:-1]
        names = [f'{name}_{m}.png' for m in ('rgb', 'depth', 'ir')]
        for offset, file in enumerate(names):
            cv2.imwrite(str(root / file), np.full((8, 8, 3), 10 * number + offset, np.uint8))
        names[2] = '' if name == 'print1' else names[2]
        lines.append(','.join([name, *names, str(int(pai == 'live')), 'X', pai]))
        records.append(dict(sample_id=name, domain='X', pai=pai, label=int(pai == 'live'), score=score))
    (root / 'list.csv').write_text('\n'.join(lines))
    ScoreTable.from_records(records).to_csv(root / 'scores.csv')
    return root


def test_the_worst_come_first_and_all_are_counted(folder: Path) -> None:
    table = ScoreTable.from_csv(folder / 'scores.csv')
    worst = worst_samples(table, Threshold(0.5, 'fixed'), num=2)
    assert [mistake.sample_id for mistake in worst.accepted] == ['print1', 'mask0']
    assert [mistake.sample_id for mistake in worst.rejected] == ['live1', 'live2']
    assert (worst.num_accepted, worst.num_attacks, worst.num_rejected, worst.num_live) == (3, 4, 2, 3)
    at_the_score = worst_samples(table, Threshold(0.6, 'fixed')).accepted
    assert [mistake.sample_id for mistake in at_the_score] == ['print1', 'mask0', 'mask1']


def test_pictures_are_those_of_the_sample(folder: Path) -> None:
    dataset = MultiModalFaceDataset('list.csv', str(folder))
    worst = worst_samples(ScoreTable.from_csv(folder / 'scores.csv'), Threshold(0.5, 'fixed'))
    found = find_samples(worst.accepted, [dataset])
    pictures = load_pictures(found[worst.accepted[0]])
    assert [None if p is None else int(p[0, 0, 0]) for p in pictures.values()] == [40, 41, None]
    others = MultiModalFaceDataset('list.csv', str(folder), domain='Y')
    with pytest.raises(InputError, match=r"3 samples of the scores are not in the lists \(7 samples\).*'print1'"):
        find_samples(worst.accepted, [others])


def test_pictures_of_16_bits_and_of_several_sizes_can_be_looked_at(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / 'rgb.png'), np.full((8, 8, 3), 9, np.uint8))
    cv2.imwrite(str(tmp_path / 'depth.png'), np.full((4, 4), 2000, np.uint16))
    (tmp_path / 'list.csv').write_text('sample_id,rgb,depth,label\na,rgb.png,depth.png,1')
    pictures = load_pictures(MultiModalFaceDataset('list.csv', str(tmp_path)).get_data_info(0))
    assert pictures['depth'] is not None and pictures['depth'].shape == (8, 8, 3)
    assert int(pictures['depth'][0, 0, 0]) == 255 and pictures['ir'] is None


def test_sheet_has_every_sample_and_says_what_is_absent() -> None:
    picture = np.zeros((4, 4, 3), np.uint8)
    figure = draw_mistakes(
        [('0.95  print', [picture, None]), ('0.60  mask', [picture, picture])], [], ('rgb', 'ir'),
        titles=('2 of 4 attacks accepted', '0 of 3 live faces rejected'),
    )  # fmt: skip
    left, right = figure.subfigs
    assert len(left.axes) == 4 and not right.axes
    assert [len(axes.get_images()) for axes in left.axes] == [1, 0, 1, 1]
    assert left.axes[1].texts[0].get_text() == 'no ir'
    assert [text.get_text() for text in left.texts] == ['2 of 4 attacks accepted', '0.95  print', '0.60  mask']


def test_command(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, scores = tmp_path / 'sheet.png', str(folder / 'scores.csv')
    lists = ['--lists', 'list.csv', '--data-root', str(folder), '--out', str(out)]
    assert main([scores, '--criterion', 'fixed=0.5', *lists]) == 0
    text = capsys.readouterr().out
    assert '3 of 4 attacks accepted, 2 of 3 live faces rejected at' in text
    assert text.index('0.9500  print  print1') < text.index('0.6000  mask  mask0') < text.index('live1')
    assert out.stat().st_size > 5000
    assert main([scores, *lists]) == 1
    assert 'nothing fixes the threshold: give --dev DEV.csv, or --criterion fixed=0.5' in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([scores, '--criterion', 'fixed=0.5'])
    assert 'give either --config or --lists' in capsys.readouterr().err
