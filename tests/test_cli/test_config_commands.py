"""`check`, `list`, `print_config`, `get_flops` and `measure_speed` on real configs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from mmfas.cli import check, print_config
from mmfas.cli import list as list_parts
from mmfas.cli.measure import flops as measure_flops
from mmfas.cli.measure import speed as measure_speed
from mmfas.registry import PART_REGISTRIES, TypedView

REPO = Path(__file__).resolve().parents[2]
CONFIG = str(REPO / 'configs' / 'baselines' / 'concat_mini-vit_1xb32-12e_synthfas-cps2w.py')

pytestmark = pytest.mark.engine


def test_check_says_ok(capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main([CONFIG]) == 0
    assert capsys.readouterr().out == f'{CONFIG}: ok\n'


def test_check_lists_all_problems(capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main([CONFIG, '--cfg-options', 'model.neck.projdims=3', 'train_cfg.max_epoch=3']) == 1
    out = capsys.readouterr().out
    assert '2 problem(s)' in out
    assert 'model.neck.projdims: unexpected, did you mean proj_dims?' in out
    assert 'train_cfg.max_epoch: unexpected, did you mean max_epochs?' in out


def test_check_names_a_config_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / 'broken.py'
    broken.write_text('model = dict(\n')
    assert check.main([str(broken), CONFIG]) == 2
    captured = capsys.readouterr()
    assert f"config '{broken}' cannot be read: line 1: '(' was never closed" in captured.err
    assert f'{CONFIG}: ok' in captured.out


def test_list_prints_every_part_once_with_its_summary(capsys: pytest.CaptureFixture[str]) -> None:
    assert list_parts.main([]) == 0
    out = capsys.readouterr().out
    assert '  ConcatNeck' in out
    for kind, registry in PART_REGISTRIES.items():
        if isinstance(registry, TypedView):
            assert f'{kind} ({len(registry)})' in out
    rows = [line for line in out.splitlines() if re.match(r'  \S', line)]  # what fits is indented further
    assert all(len(row.split()) > 2 for row in rows), 'a part has no summary'
    names = [row.split()[0] for row in rows]
    assert len([name for name in names if name == 'ConcatNeck']) == 1


def test_list_takes_kinds(capsys: pytest.CaptureFixture[str]) -> None:
    assert list_parts.main(['fusion-neck', 'head']) == 0
    out = capsys.readouterr().out
    assert 'ConcatNeck' in out
    assert '\n  MultiStreamViT' not in out


@pytest.mark.parametrize(
    ('words', 'kinds'),
    [
        (['neck'], ['fusion neck']),
        (['fusion_necks'], ['fusion neck']),
        (['fusion', 'neck'], ['fusion neck']),  # as typed without quotes
        (['trunk', 'Losses'], ['backbone', 'loss']),
        (['model'], ['model']),
        (['wrapper', 'sampler'], ['optimizer wrapper', 'model wrapper', 'data sampler']),
        (['wrapper model'], ['model wrapper']),
    ],
)
def test_list_takes_parts_of_kinds(words: list[str], kinds: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert list_parts.main(words) == 0
    heads = [line for line in capsys.readouterr().out.splitlines() if not line.startswith(' ')]
    assert [head.rpartition(' (')[0] for head in heads] == kinds


@pytest.mark.parametrize(
    ('word', 'hint'),
    [
        ('nekc', 'did you mean fusion neck? kinds: model, backbone'),
        ('optimiser-wraper', 'did you mean optimizer wrapper? kinds: '),
        ('xyz', 'kinds: model, '),
    ],
)
def test_list_names_the_nearest_kind(word: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert list_parts.main([word]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"mmfas list: there is no kind '{word}'; {hint}")
    assert captured.out == ''


def test_print_config_merges_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert print_config.main([CONFIG, '--cfg-options', 'train_cfg.max_epochs=7']) == 0
    assert 'max_epochs=7' in capsys.readouterr().out
    out = tmp_path / 'merged.py'
    assert print_config.main([CONFIG, '--out', str(out)]) == 0
    assert check.main([str(out)]) == 0
    with pytest.raises(SystemExit):
        print_config.main([CONFIG, '--out', str(tmp_path / 'merged.txt')])
    assert '--out: the name must end in .py, .json, .yml, .yaml, got' in capsys.readouterr().err


def test_get_flops_counts(capsys: pytest.CaptureFixture[str]) -> None:
    assert measure_flops.main([CONFIG, '--json']) == 0
    result = json.loads(capsys.readouterr().out)
    assert result['total'] == sum(total for _, total in result['parts'].values())
    assert result['image_size'] == [64, 64]
    assert result['flops'] > result['total']
    assert measure_flops.main([CONFIG]) == 0
    assert 'GFLOPs' in capsys.readouterr().out
    assert measure_flops.main([CONFIG, '--cfg-options', 'model.neck.projdims=3']) == 2


@pytest.mark.parametrize('mode', [[], ['--train'], ['--joint']], ids=['scoring', 'training', 'joint'])
def test_measure_speed_pairs_trunk_and_model(
    mode: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / 'speed.json'
    options = ['--rounds', '2', '--warm-up', '1', '--batch-size', '2', '--bound', '1.05', '--out', str(out)]
    assert measure_speed.main([CONFIG, *options, *mode]) == 0
    shown, report = capsys.readouterr().out, json.loads(out.read_text(encoding='utf-8'))
    assert '1.000 x (1.000 to 1.000)' in shown and 'model, at most 1.05 x: no verdict: 2 round(s)' in shown
    assert len(report['verdicts']) == 1
    timings = report['timings']
    assert [timing['name'].rpartition(': ')[2] for timing in timings] == [
        'trunk, joint' if '--joint' in mode else 'trunk',
        'model',
    ]
    assert timings[0]['ratio'] == 1.0
    assert all(timing['median_ms'] >= timing['fastest_ms'] > 0 for timing in timings)
