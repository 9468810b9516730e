"""The commands `mmfas scores eval` and `mmfas scores plot`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from mmfas.cli.score_inputs import read_scores
from mmfas.cli.scores import eval as scores_eval
from mmfas.cli.scores import plot as scores_plot
from mmfas.evaluation import ScoreTable, evaluate_scores

from .tables import make_table


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Score files of a dev split and two test sets."""
    tables = {
        'dev': make_table(200, 0, domain='C'),
        'W': make_table(200, 1, domain='W', shift=1.0),
        'S': make_table(200, 2, domain='S'),
    }
    paths = {name: tmp_path / f'{name}.csv' for name in tables}
    for name, table in tables.items():
        table.to_csv(paths[name])
    return {name: str(path) for name, path in paths.items()}


def test_json_equals_the_function(
    files: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / 'new' / 'report.json'
    options = ['--dev', files['dev'], '--level', 'video', '--criterion', 'min-hter', '--out', str(out)]
    assert scores_eval.main([files['W'], *options]) == 0
    tables = {name: ScoreTable.from_csv(files[name]) for name in ('W', 'dev')}
    report = evaluate_scores(tables['W'], dev=tables['dev'], level='video', criterion='min-hter', name='W')
    assert json.loads(out.read_text(encoding='utf-8')) == {'reports': [report.to_dict()]}
    assert capsys.readouterr().out.strip() == report.table()


def test_several_test_sets_are_rows(files: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert scores_eval.main([files['W'], files['S'], '--dev', files['dev'], '--markdown', '--bootstrap', '0']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == 'Rates in %, level: frame'
    assert [line.split(' | ')[0] for line in lines[4:7]] == ['| W', '| S', '| mean']
    assert any(line.startswith(('* W: TPR@FPR=', '* TPR@FPR=')) for line in lines)


def test_one_class_file_prints_a_clear_message(files: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    ScoreTable.from_csv(files['W']).select(label=0).to_csv(files['W'])
    assert scores_eval.main([files['W'], '--dev', files['dev']]) == 0
    text = capsys.readouterr().out
    assert 'n/a (no live samples)' in text and 'No live samples: every number that compares' in text
    assert scores_eval.main([files['S'], '--dev', files['W']]) == 2
    assert 'undefined without live samples' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('arguments', 'text'),
    [
        (['W', '--dev', 'W'], '200 samples are in both dev and test'),
        (['W', '--dev', 'dev', '--criterion', 'best'], 'valid are eer, min-hter'),
        (['W', 'S', 'W'], "W.csv' is given twice; name it once"),
        (['none.csv'], 'score file none.csv does not exist'),
    ],
)
@pytest.mark.parametrize('command', [scores_eval, scores_plot])
def test_wrong_input_is_two_and_no_traceback(
    files: dict[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    command: object,
    arguments: list[str],
    text: str,
) -> None:
    resolved = [files.get(word, word) for word in arguments]
    extra = ['--out', str(tmp_path / 'plots')] if command is scores_plot else []
    assert command.main([*resolved, *extra]) == 2
    captured = capsys.readouterr()
    assert text in captured.err and 'Traceback' not in captured.err
    assert captured.out == ''


def test_plots_are_written_and_named(
    files: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert scores_plot.main([files['W'], '--dev', files['dev'], '--out', str(tmp_path / 'plots')]) == 0
    written = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert [path.name for path in written] == ['roc.png', 'det.png', 'epc.png', 'histogram.png', 'pai_bars.png']
    assert all(path.read_bytes()[:4] == b'\x89PNG' for path in written)


def test_plots_of_one_class_say_what_is_left_out(
    files: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ScoreTable.from_csv(files['W']).select(label=1).to_csv(files['W'])
    options = ['--criterion', 'fixed=0.5', '--out', str(tmp_path / 'plots')]
    assert scores_plot.main([files['W'], *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [Path(line).name for line in lines[:2]] == ['histogram.png', 'pai_bars.png']
    assert lines[2] == 'W: no attack samples, so no ROC and DET curve'


@pytest.mark.parametrize(
    ('paths', 'names'),
    [
        (['run/a.csv', 'run/b.csv'], ['a', 'b']),
        (['runs/old/test/test.csv', 'runs/new/test/test.csv'], ['old', 'new']),
        (['a/x/t.csv', 'a/y/t.csv', 'b/x/t.csv'], ['a/x', 'a/y', 'b/x']),
        (['t.csv', 'a/t.csv'], ['t.csv', 'a/t.csv']),
    ],
)
def test_files_are_named_by_what_differs(
    paths: list[str], names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for seed, path in enumerate(paths):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        make_table(20, seed).to_csv(path)
    parser = argparse.ArgumentParser()
    scores_eval.add_arguments(parser)
    assert list(read_scores(parser.parse_args(['--criterion', 'fixed=0.5', *paths])).tables) == names


def test_a_binary_file_and_a_negative_count_are_named(
    files: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    binary = tmp_path / 'weights.csv'
    binary.write_bytes(bytes(range(256)))
    assert scores_eval.main([str(binary)]) == 2
    assert f'InputError: {binary} is not a CSV file in UTF-8' in capsys.readouterr().err
    for option, words in (('--bootstrap', 'of at least 0'), ('--seed', 'from 0 to ')):
        with pytest.raises(SystemExit):
            scores_eval.main([files['W'], option, '-3'])
        assert f'argument {option}: must be an integer {words}' in capsys.readouterr().err
