"""The benchmark without any training: cells, configs, records, and what the command refuses."""

from __future__ import annotations

import copy
import errno
import json
import os
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from benchmark_records import SMALL, add_record
from mmengine.config import Config

from mmfas.benchmark.configs import apply_split, data_identity, family_of, use_data_root
from mmfas.benchmark.methods import MethodError, config_hash, find_method
from mmfas.benchmark.plan import SPLITS, Cell, cells_of, is_shown, missing_modalities, trainings_of
from mmfas.benchmark.pool import find_places
from mmfas.benchmark.record import rounded
from mmfas.benchmark.records import RecordError, finished, load_scores, read_record, read_records
from mmfas.cli.benchmark import main
from mmfas.evaluation import evaluate_scores
from mmfas.structures import MODALITIES

CONFIGS = Path(__file__).parents[2] / 'configs'
CONCAT = 'concat_mini-vit_1xb32-12e_synthfas-cps2w'
BIG_MOE = 'big-moe_mini-vit_1xb32-12e_synthfas-cps2w'
METHODS_OF = {'synthfas': BIG_MOE, 'cpsw': 'big-moe_vit-b16_1xb32-100e_cpsw-csw2p'}


def test_protocol_2_needs_no_training_of_its_own() -> None:
    cells = cells_of(['a', 'b'], [1, 2, 3], [0, 1])
    trainings = trainings_of(cells)
    assert len(cells) == len(set(cells)) == 2 * 2 * 18
    assert len(trainings) == 2 * 2 * 6
    assert sorted(cell.name for training in trainings for cell in training.cells) == sorted(c.name for c in cells)
    of_w = next(t for t in trainings if t.split == 'cps2w')
    assert [cell.split for cell in of_w.cells] == [
        'cps2w',
        'cps2w_no-depth',
        'cps2w_no-ir',
        'cps2w_no-depth-ir',
    ]
    assert [t.seed for t in trainings] == [0] * 12 + [1] * 12  # a whole table first, then the next seed
    assert {t.protocol for t in trainings_of(cells_of(['a'], [2], [0]))} == {1}


def test_the_sweep_has_every_subset_once_and_what_it_has_in_common_with_others_is_run_once() -> None:
    cells = cells_of(['a'], [3, '2s', 1], [0])
    assert [cell.protocol for cell in cells] == [1] * 4 + [2] * 8 + ['2s'] * 4 + [2] * 4 + ['2s'] * 8 + [3] * 2
    swept = cells_of(['a'], ['2s'], [0])
    assert set(swept) >= set(cells_of(['a'], [1, 2], [0])) and len(cells_of(['a'], [1, 2, '2s'], [0])) == 28
    assert all(is_shown(cell, ['2s']) for cell in swept) and not is_shown(cells[-1], ['2s', 1, 2])
    assert [is_shown(swept[0], [p]) for p in (1, 2, '2s', 3)] == [True, False, True, False]
    assert len(trainings_of(cells)) == 6 and {t.protocol for t in trainings_of(cells)} == {1, 3}
    missing = [missing_modalities(split.partition('_')[2]) for split in SPLITS['2s'] if split.startswith('cps2w')]
    assert sorted(missing) == sorted(gone for n in range(3) for gone in combinations(MODALITIES, n))
    assert cells[4].name == 'p2_cps2w_no-ir_s0' and cells[-3].name == 'p2s_psw2c_no-rgb-depth_s0'


@pytest.mark.parametrize(('protocols', 'seeds', 'message'), [([4], [0], 'no protocol 4'), ([1], [-1], 'got -1')])
def test_unknown_protocols_and_seeds_are_refused(protocols: list[int], seeds: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cells_of(['a'], protocols, seeds)


@pytest.mark.parametrize('family', ['synthfas', 'cpsw'])
@pytest.mark.parametrize('protocol', SPLITS)
def test_split_replaces_lists_and_keeps_what_is_the_methods(protocol: int, family: str) -> None:
    own = find_method(METHODS_OF[family]).load()
    assert config_hash(own) != config_hash(find_method(CONCAT).load())
    for split in SPLITS[protocol]:
        cfg = copy.deepcopy(own)
        apply_split(cfg, family, protocol=protocol, split=split)
        sources, targets = (set(part.upper()) for part in split.partition('_')[0].split('2'))
        lists = {n: cfg[f'{n}_dataloader'].dataset.ann_file for n in ('train', 'val', 'test')}
        assert {file[-11] for file in lists['train']} == {file[-9] for file in lists['val']} == sources
        assert {file[-10] for file in lists['test']} == targets
        # BIG-MoE drops modalities in training: that must not get lost with the lists.
        assert cfg.train_dataloader.dataset.pipeline == own.train_dataloader.dataset.pipeline
        missing = tuple(split.split('-')[1:])
        for name in ('val', 'test'):
            steps = cfg[f'{name}_dataloader'].dataset.pipeline
            taken = [tuple(step.missing) for step in steps if step.type == 'FixedMissing']
            assert taken == ([missing] if missing else [])
            assert steps[-1].type == 'PackFASInputs'


def test_hash_is_of_what_decides_on_results() -> None:
    own = config_hash(find_method(CONCAT).load())
    without_effect = {
        'train_dataloader.num_workers': 0,
        'train_dataloader.dataset.data_root': 'elsewhere',
        'train_dataloader.dataset.ann_file': ['protocols/W-train.txt'],
        'randomness.seed': 5,
        'log_level': 'WARNING',
        'default_hooks.checkpoint.max_keep_ckpts': 1,
    }
    assert config_hash(find_method(CONCAT, without_effect).load()) == own
    for key, value in (
        ('train_cfg.max_epochs', 1),
        ('model.modalities', ('rgb',)),
        ('optim_wrapper.optimizer.lr', 1.0),
        ('train_dataloader.batch_size', 8),
        ('val_evaluator.criterion', 'min-hter'),
    ):
        assert config_hash(find_method(CONCAT, {key: value}).load()) != own, key


def test_methods_are_found_by_name_and_by_file() -> None:
    file = CONFIGS / 'baselines' / f'{CONCAT}.py'
    by_name, by_file = find_method(CONCAT), find_method(str(file))
    assert by_name == by_file
    assert by_name.config == f'configs/baselines/{CONCAT}.py'
    assert family_of(by_name.load()) == 'synthfas'
    assert family_of(find_method('concat_vit-b16_1xb32-100e_cpsw-psw2c').load()) == 'cpsw'


def test_a_method_that_differs_at_test_only_is_trained_as_another(tmp_path: Path) -> None:
    options = {'train_cfg.max_epochs': 3}
    for text in (f'{BIG_MOE}_no-code', str(CONFIGS / 'big_moe' / f'{BIG_MOE}_no-code.py')):
        method = find_method(text, options)
        assert method.trained_as == find_method(BIG_MOE, options)
        assert config_hash(method.load()) != config_hash(method.trained_as.load())
    assert find_method(BIG_MOE).trained_as is find_method(f'{BIG_MOE}_no-bypass').trained_as is None
    for name in ('a', 'b'):
        (tmp_path / f'{name}.py').write_text('x = 1')
    for other in ('missing', 'a'):
        entries = [f"{{Name: a, In Collection: A, Config: a.py, Trained As: '{other}'}}"]
        (tmp_path / 'metafile.yml').write_text(f'Models: [{", ".join(entries)}]')
        with pytest.raises(MethodError, match=f"a is trained as '{other}', which must be a model of this file"):
            find_method(str(tmp_path / 'a.py'))


def test_methods_that_cannot_be_named_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MethodError, match=f'did you mean {CONCAT}'):
        find_method('concat_mini-vit')
    with pytest.raises(MethodError, match='does not exist'):
        find_method(str(tmp_path / 'mine.py'))
    config = tmp_path / 'mine.py'
    config.write_text(
        f"_base_ = '{CONFIGS}/baselines/{CONCAT}.py'\ntrain_dataloader = dict(dataset=dict(ann_file='x'))"
    )
    with pytest.raises(MethodError, match=r'in no metafile.*Name: mine, In Collection'):
        find_method(str(config))
    (tmp_path / 'metafile.yml').write_text('Models: [{Name: mine, In Collection: Mine}]')
    with pytest.raises(MethodError, match='model mine lacks Config'):
        find_method(str(config))
    (tmp_path / 'metafile.yml').write_text('Models: [{Name: mine, In Collection: Mine, Config: mine.py}]')
    with pytest.raises(MethodError, match='is not a split of cpsw or synthfas'):
        family_of(find_method(str(config)).load())


def test_data_are_identified_by_what_they_are_not_where(tmp_path: Path) -> None:
    cfg = find_method(CONCAT).load()
    assert use_data_root(cfg, str(tmp_path)) == cfg.test_dataloader.dataset.data_root == str(tmp_path)
    with pytest.raises(FileNotFoundError, match='mmfas data render'):
        data_identity('synthfas', str(tmp_path))
    with pytest.raises(FileNotFoundError, match='cpsw_base.py'):
        data_identity('cpsw', str(tmp_path))
    header = {key: value for key, value in SMALL.items() if key != 'name'}
    (tmp_path / 'manifest.json').write_text(json.dumps({**header, 'chunks': {}}))
    assert data_identity('synthfas', str(tmp_path)) == SMALL
    (tmp_path / 'C-train.txt').write_text('a b c 1')
    before = data_identity('cpsw', str(tmp_path))
    (tmp_path / 'C-train.txt').write_text('a b c 0')
    assert data_identity('cpsw', str(tmp_path)) != before


def test_record_and_scores_come_back_and_are_the_same_bytes(tmp_path: Path) -> None:
    cell = Cell(CONCAT, 1, 'cps2w', 0)
    record = add_record(tmp_path / 'a', cell)
    again = add_record(tmp_path / 'b', cell)
    assert read_records(tmp_path / 'a') == [record] == [again]
    for path in (tmp_path / 'a' / CONCAT).iterdir():
        assert path.read_bytes() == (tmp_path / 'b' / CONCAT / path.name).read_bytes()
    test, dev = (load_scores(tmp_path / 'a', record, name) for name in ('test', 'dev'))
    # Numbers can be recomputed from the files alone.
    assert rounded(evaluate_scores(test, dev=dev, num_bootstrap=0).to_dict()) == record.report


def test_a_cell_is_finished_for_the_same_config_data_and_epoch_only(tmp_path: Path) -> None:
    cell = Cell(CONCAT, 1, 'cps2w', 0)
    record = add_record(tmp_path, cell)
    assert finished(tmp_path, record.identity, cell, with_paper=False) == record
    assert finished(tmp_path, record.identity, cell, with_paper=True) is None
    other_seed = Cell(CONCAT, 1, 'cps2w', 1)
    assert finished(tmp_path, record.identity, other_seed, with_paper=False) is None
    for changes in (dict(config_hash='other'), dict(data={**SMALL, 'seed': 1}), dict(select='dev')):
        other = add_record(tmp_path, cell, **changes)
        assert other.identity.key != record.identity.key
    assert len(read_records(tmp_path)) == 4  # none has overwritten another


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (lambda text: text[: len(text) // 2], 'is a broken record'),
        (lambda text: '[]', 'is a broken record'),
        (lambda text: text.replace('"commit"', '"comit"'), "'comit' is not a key of records"),
        (lambda text: text.replace('"format": 1', '"format": 9'), 'another format than 1'),
        (lambda text: text.replace('"hter"', '"hterr"'), 'hter missing in its report'),
        (lambda text: json.dumps({**json.loads(text), 'scores': {}}), 'dev, test missing in its scores'),
        (lambda text: text.replace('"sha256"', '"sha"'), 'sha256 missing in its scores.dev'),
        (lambda text: json.dumps({**json.loads(text), 'paper': {'auc': 1.0}}), 'hter missing in its paper'),
        (lambda text: text.replace('"abc"', '"abd"'), 'does not hold what its name says'),
    ],
)
def test_a_broken_record_is_named(tmp_path: Path, damage: Any, message: str) -> None:
    add_record(tmp_path, Cell(CONCAT, 1, 'cps2w', 0))
    path = next((tmp_path / CONCAT).glob('*.json'))
    path.write_text(damage(path.read_text()))
    with pytest.raises(RecordError, match=message) as caught:
        read_record(path)
    assert str(path) in str(caught.value)
    assert 'delete it' in str(caught.value)


def test_exchanged_scores_are_named(tmp_path: Path) -> None:
    record = add_record(tmp_path, Cell(CONCAT, 1, 'cps2w', 0))
    path = next((tmp_path / CONCAT).glob('*.test.csv.gz'))
    path.write_bytes(path.with_name(path.name.replace('test', 'dev')).read_bytes())
    with pytest.raises(RecordError, match='is not the file that was recorded'):
        load_scores(tmp_path, record)
    path.unlink()
    with pytest.raises(RecordError, match='is missing'):
        load_scores(tmp_path, record)


def test_a_full_disk_leaves_no_half_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr('os.fsync', full)
    with pytest.raises(RecordError, match='no space left.*finished work is kept'):
        add_record(tmp_path, Cell(CONCAT, 1, 'cps2w', 0))
    assert [path for path in tmp_path.rglob('*') if path.is_file()] == []


@pytest.mark.parametrize(
    ('visible', 'number', 'jobs', 'places'),
    [
        ('', 0, None, ['cpu']),
        ('', 0, 3, ['cpu', 'cpu', 'cpu']),
        ('', 2, None, ['0', '1']),
        ('4, 6,7', 3, 4, ['4', '6', '7', '4']),
    ],
)
def test_processes_go_round_the_gpus(
    visible: str, number: int, jobs: int | None, places: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', visible)
    monkeypatch.setattr('torch.cuda.device_count', lambda: number)
    assert find_places(jobs) == places


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = ['--records', str(tmp_path), '--data-root', str(tmp_path / 'none')]
    other_split = ['--protocols', '3', '--splits', 'cps2w']
    other_paper = ['--protocols', '1', '--paper-scoring', '3']
    for arguments, code, message in (
        (['run', *places], 2, 'needs at least one METHOD'),
        (['run', CONCAT, *places], 1, 'mmfas data render'),
        (['run', CONCAT, *places, *other_split], 2, '--splits cps2w: not of --protocols 3'),
        (['run', CONCAT, *places, *other_paper], 2, '--paper-scoring 3 is not in'),
        (['run', 'concat', *places], 2, 'or give a config file'),
        (['report', '--records', str(tmp_path)], 1, 'holds no record'),
    ):
        assert main(arguments) == code, arguments
        assert message in capsys.readouterr().err
    for option, value, message in (
        ('--protocols', '4', 'invalid choice: 4'),
        ('--paper-scoring', '4', 'invalid choice: 4'),
        ('--jobs', '0', '--jobs: must be an integer of at least 1'),
    ):
        with pytest.raises(SystemExit):
            main(['run', CONCAT, option, value])
        assert message in capsys.readouterr().err


def test_a_config_that_counts_iterations_is_refused() -> None:
    from mmfas.benchmark.configs import num_epochs

    with pytest.raises(MethodError, match='needs train_cfg.max_epochs'):
        num_epochs(Config(dict(train_cfg=dict(max_iters=5))))
