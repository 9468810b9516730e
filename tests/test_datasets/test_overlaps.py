"""Samples in two splits are found from the lists: an error for training and test, a note where it may be meant."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mmengine.dataset import RepeatDataset

from mmfas.apis.training import _SplitsHook
from mmfas.cli.check import main as check
from mmfas.datasets.overlaps import overlaps_of
from mmfas.registry import DATASETS

NAMES = ('anna', 'ben', 'cleo', 'dan', 'eve', 'finn')


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make files, under two names each, and lists without a file in common."""
    (tmp_path / 'faces').mkdir()
    for name in NAMES:
        (tmp_path / f'faces/{name}.png').write_bytes(b'')
    (tmp_path / 'link').symlink_to('faces')
    for split, names in dict(train=NAMES[:2], val=NAMES[2:4], test=NAMES[4:]).items():
        write(tmp_path, split, [f'faces/{name}.png' for name in names])
    return tmp_path


def write(folder: Path, split: str, paths: list[str]) -> None:
    lines = (f'{path},{number % 2}\n' for number, path in enumerate(paths))
    (folder / f'{split}.csv').write_text('rgb,label\n' + ''.join(lines))


def loader(folder: Path, split: str, *, clean: bool | str = False) -> dict[str, Any]:
    # Not serialised: that collects garbage, which takes seconds after tests that have made much of it.
    options = dict(data_root=str(folder), clean=clean, pipeline=[], serialize_data=False)
    return dict(dataset=dict(type='MultiModalFaceDataset', ann_file=f'{split}.csv', **options))


def config(folder: Path, **changes: Any) -> dict[str, Any]:
    return {f'{split}_dataloader': loader(folder, split) for split in ('train', 'val', 'test')} | changes


def test_lists_apart_give_nothing(folder: Path) -> None:
    write(folder, 'train', ['faces/anna.png', 'faces/anna.png', './faces/ben.png'])  # a list may repeat a line
    assert overlaps_of(config(folder)) == ([], [])
    assert overlaps_of(dict(train_dataloader=loader(folder, 'train'), val_dataloader=None)) == ([], [])


@pytest.mark.parametrize(
    'path', ['faces/eve.png', 'link/eve.png', './faces/../link/eve.png', '{root}/faces/eve.png']
)
def test_training_and_test_must_be_apart_under_any_name(folder: Path, path: str) -> None:
    write(folder, 'train', ['faces/anna.png', path.format(root=folder)])
    (problem,), notes = overlaps_of(config(folder))
    assert problem.startswith('train_dataloader and test_dataloader have 1 samples in common, the first: ')
    assert 'train.csv:3' in problem and 'test.csv:2' in problem and "clean='TEST LIST'" in problem
    assert notes == []
    cleaned = loader(folder, 'train', clean='test.csv')
    assert overlaps_of(config(folder, train_dataloader=cleaned)) == ([], [])


def test_further_test_sets_count_and_wrappers_are_looked_into(folder: Path) -> None:
    wrapped = dict(dataset=dict(type='RepeatDataset', times=2, dataset=loader(folder, 'train')['dataset']))
    extra = dict(apart=loader(folder, 'test'), same=loader(folder, 'train'))
    problems, _ = overlaps_of(config(folder, train_dataloader=wrapped, extra_test_dataloaders=extra))
    (problem,) = problems
    assert problem.startswith('train_dataloader and extra_test_dataloaders.same have 2 samples in common')


def test_dev_may_share_with_either_but_it_is_noted(folder: Path) -> None:
    problems, (note,) = overlaps_of(config(folder, val_dataloader=loader(folder, 'train')))
    assert problems == [] and 'train_dataloader and val_dataloader have 2 samples in common' in note
    assert 'threshold will be chosen on samples of the training' in note
    problems, (note,) = overlaps_of(config(folder, val_dataloader=loader(folder, 'test')))
    assert problems == [] and '`mmfas test` will refuse to choose a threshold on test samples' in note


def test_test_data_may_be_elsewhere_training_data_not(folder: Path) -> None:
    os.remove(folder / 'test.csv')
    problems, (note,) = overlaps_of(config(folder))
    assert problems == [] and note.startswith(
        'test_dataloader: not compared with the training data, as it cannot be'
    )
    os.remove(folder / 'val.csv')
    (problem,), _ = overlaps_of(config(folder))
    assert problem.startswith('val_dataloader: ') and 'val.csv' in problem


def test_built_sets_are_taken_and_other_kinds_have_no_files(folder: Path) -> None:
    built = RepeatDataset(DATASETS.build(loader(folder, 'test')['dataset']), 2)
    (problem,), _ = overlaps_of(config(folder), {'train_dataloader': built})
    assert problem.startswith('train_dataloader and test_dataloader have 2 samples in common')
    assert overlaps_of(config(folder), {'train_dataloader': [1, 2, 3]}) == ([], [])


def test_training_ends_before_the_first_step(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    def run(**changes: Any) -> None:
        cfg = config(folder, **changes)
        loops = [
            SimpleNamespace(
                dataloader=SimpleNamespace(dataset=DATASETS.build(cfg[f'{name}_dataloader']['dataset'])),
                evaluator=SimpleNamespace(metrics=[]),
            )
            for name in ('train', 'val')
        ]
        runner = SimpleNamespace(cfg=cfg, train_loop=loops[0], val_loop=loops[1], logger=logging.getLogger())
        _SplitsHook().before_run(runner)  # type: ignore[arg-type]

    run()
    with pytest.raises(ValueError, match='train_dataloader and test_dataloader have 2 samples in common'):
        run(test_dataloader=loader(folder, 'train'))
    with caplog.at_level(logging.WARNING):
        run(val_dataloader=loader(folder, 'train'))
    assert 'train_dataloader and val_dataloader have 2 samples in common' in caplog.text


def test_the_check_looks_at_lists_only_on_request(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(Path(__file__).parents[2] / 'configs/baselines/concat_mini-vit_1xb32-12e_synthfas-cps2w.py')
    options = [
        f'{split}_dataloader.dataset.{key}={value}'
        for split, ann_file in (('train', 'train.csv'), ('val', 'val.csv'), ('test', 'train.csv'))
        for key, value in (('ann_file', ann_file), ('data_root', folder), ('meta_file', None))
    ]
    assert check([path, '--cfg-options', *options]) == 0
    assert check([path, '--data', '--cfg-options', *options]) == 1
    assert 'train_dataloader and test_dataloader have 2 samples in common' in capsys.readouterr().out
