"""The HTML report of score files: everything is in it, it fetches nothing, and pictures come from lists."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmfas.cli.scores import report as scores_report
from mmfas.evaluation import ScoreTable, Threshold
from mmfas.evaluation.worst_samples import worst_samples

NUM = 120


def rows_of(seed: int, domain: str, *, quality: float = 1.5) -> list[dict[str, object]]:
    """Records of two frames a video, with a group and a few presentations without a score."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, object]] = []
    for index in range(NUM):
        video = index // 2
        pai = ('live', 'print', 'mask <3d>')[video % 3]
        score = 1 / (1 + np.exp(-rng.normal(quality if pai == 'live' else -quality, 1.5)))
        known = dict(sample_id=f'{index}.png', domain=domain, subject=f's{video // 3}', video=f'v{video}', pai=pai)
        rows.append({**known, 'label': int(pai == 'live'), 'score': score, 'sex': 'fm'[video // 3 % 2]})
    return rows


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Score files of two systems with dev files, and a list with pictures of the test samples."""
    root = tmp_path_factory.mktemp('page')
    rows = rows_of(1, 'W')
    (root / 'list.csv').write_text(
        'sample_id,rgb,label\n' + ''.join(f'{r["sample_id"]},{r["sample_id"]},{r["label"]}\n' for r in rows),
        encoding='utf-8',
    )
    for number, row in enumerate(rows):
        cv2.imwrite(str(root / str(row['sample_id'])), np.full((12, 10, 3), number, np.uint8))
    for row in rows[::40]:
        row.update(score=None, reason='no face')
    ScoreTable.from_records(rows).to_csv(root / 'old.csv')
    better = [dict(row, score=None if row['score'] is None else row['score'] ** 1.2) for row in rows]
    ScoreTable.from_records(better).to_csv(root / 'new.csv')
    ScoreTable.from_records(rows_of(2, 'C')).to_csv(root / 'old-dev.csv')
    ScoreTable.from_records(rows_of(3, 'C')).to_csv(root / 'new-dev.csv')
    return root


@pytest.fixture(scope='module')
def page(folder: Path) -> str:
    """The page of the two systems, with everything that it can show."""
    systems = [f'{folder / name}.csv:{folder / name}-dev.csv' for name in ('old', 'new')]
    options = ['--by', 'sex', '--calibration', 'platt', '--bootstrap', '50', '--worst', '2', '--title', 'A & B']
    pictures = ['--pictures', 'list.csv', '--data-root', str(folder)]
    assert scores_report.main([*systems, *options, *pictures, '--out', str(folder / 'page.html')]) == 0
    return (folder / 'page.html').read_text(encoding='utf-8')


def test_the_page_fetches_and_runs_nothing(page: str) -> None:
    assert not re.search(r'<(script|iframe|object|embed|link|base)\b', page)
    sources = re.findall(r'(?:src|href|url)\s*[=(]\s*["\']?([^"\' )>]+)', page)
    assert sources and all(source.startswith('data:image/') for source in sources)


def test_the_page_has_tables_curves_groups_and_pictures(page: str) -> None:
    text = unescape(re.sub(r'base64,[^"]+', '', page))
    assert '<h1>A & B</h1>' in text and 'mask <3d>' in text and '<3d>' not in page, 'names are escaped'
    for caption in ('Samples', 'Error rates, %', 'Paired differences: new at', 'Errors by sex'):
        assert f'<caption>{caption}' in text, caption
    for words in ('ROC', 'DET', 'EPC', 'Scores of old', 'Reliability of new', 'Errors of old by sex'):
        assert re.search(rf'<figcaption>{words}', text), words
    assert 'dev live' in text and 'FTA live (BPNRR)' in text and 'McNemar' in text
    assert '>mean<' not in text, 'two systems have no mean'
    assert len(re.findall('data:image/jpeg', page)) == 8, 'two of each kind and system'
    assert '@media print' in page


def test_worst_samples_are_those_farthest_on_the_wrong_side(folder: Path) -> None:
    table = ScoreTable.from_csv(folder / 'old.csv')
    found = worst_samples(table, Threshold(0.5, 'fixed'), num=3)
    attacks = sorted(table.score[~table.is_live & (table.score >= 0.5)])[::-1]
    live = sorted(table.score[table.is_live & (table.score < 0.5)])
    assert [sample.score for sample in found.accepted] == attacks[:3]
    assert [sample.score for sample in found.rejected] == live[:3]
    assert worst_samples(table, Threshold(2.0, 'fixed')).accepted == ()


def test_without_lists_the_worst_are_named_and_one_class_is_enough(folder: Path) -> None:
    ScoreTable.from_csv(folder / 'old.csv').select(label=0).to_csv(folder / 'attacks.csv')
    out = folder / 'attacks.html'
    options = ['--criterion', 'fixed=0.5', '--bootstrap', '0', '--out', str(out)]
    assert scores_report.main([str(folder / 'attacks.csv'), *options]) == 0
    text = out.read_text(encoding='utf-8')
    assert 'Worst accepted attacks of attacks' in text and 'Worst rejected live samples of attacks: none.' in text
    assert 'n/a (no live samples)' in text and 'image/jpeg' not in text


def test_wrong_options_end_in_a_sentence(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores = str(folder / 'old.csv')
    for options, text in (
        (['--out', 'page.pdf'], 'the page is HTML, so give a name that ends in .html'),
        (['--out', 'p.html', '--worst', '-1'], '--worst: must be an integer of at least 0'),
        (['--out', 'p.html', '--data-root', 'x'], 'give --pictures LIST, too'),
    ):
        with pytest.raises(SystemExit):
            scores_report.main([scores, *options])
        assert text in capsys.readouterr().err
    (folder / 'short.csv').write_text('sample_id,rgb,label\nx.png,0.png,1\n', encoding='utf-8')
    pictures = ['--pictures', str(folder / 'short.csv'), '--criterion', 'fixed=0.5', '--bootstrap', '0']
    assert scores_report.main([scores, *pictures, '--out', str(folder / 'p.html')]) == 2
    assert 'no list holds the sample' in capsys.readouterr().err
    assert not (folder / 'p.html').exists()


def test_page_takes_a_threshold_of_the_site(folder: Path) -> None:
    site = [dict(row, sample_id=f's{row["sample_id"]}', video=f's{row["video"]}') for row in rows_of(4, 'W')]
    ScoreTable.from_records(site).to_csv(folder / 'site.csv')
    options = ['--site', str(folder / 'site.csv'), '--criterion', 'site', '--bootstrap', '0', '--worst', '0']
    assert scores_report.main([str(folder / 'old.csv'), *options, '--out', str(folder / 'site.html')]) == 0
    text = (folder / 'site.html').read_text(encoding='utf-8')
    assert 'site (5 live videos)' in text and 'site.csv</code>, SHA-256' in text
