"""Folds by subject: nobody in two, every sample once, about the same mixture; the lists can be read again."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from mmfas.cli.data.kfold import main
from mmfas.datasets import MultiModalFaceDataset
from mmfas.datasets.kfold import assign_folds, make_folds
from mmfas.utils.errors import InputError


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A list of 24 persons with 2 to 6 frames of one to three kinds; no pictures are needed."""
    root = tmp_path_factory.mktemp('kfold')
    rng = np.random.default_rng(0)
    lines = ['sample_id,rgb,depth,ir,label,subject,pai']
    for person in range(24):
        for kind in ('live', 'print', 'replay')[: 2 + person % 2]:
            for frame in range(int(rng.integers(1, 4))):
                name = f'p{person}_{kind}_{frame}'
                paths = [f'faces/{name}_{m}.png' for m in ('rgb', 'depth', 'ir')]
                lines.append(','.join([name, *paths, str(int(kind == 'live')), f'p{person}', kind]))
    (root / 'all.csv').write_text('\n'.join(lines))
    return root


@pytest.mark.parametrize('num_folds', [3, 5])
@pytest.mark.parametrize('seed', [0, 1])
def test_every_sample_is_once_in_test_and_nobody_is_in_two_parts(folder: Path, num_folds: int, seed: int) -> None:
    dataset = MultiModalFaceDataset('all.csv', str(folder))
    folds = make_folds(dataset, num_folds=num_folds, seed=seed)
    everything = sorted(dataset.get_data_info(index)['sample_id'] for index in range(len(dataset)))
    for part in ('test', 'val'):
        assert sorted(info['sample_id'] for fold in folds for info in getattr(fold, part)) == everything
    for number, fold in enumerate(folds):
        people = [{info['subject'] for info in part} for part in (fold.train, fold.val, fold.test)]
        assert sum(map(len, people)) == len(set.union(*people)) == 24
        assert len(fold.train) + len(fold.val) + len(fold.test) == len(everything)
        assert fold.val == folds[(number + 1) % num_folds].test


def test_kinds_are_spread_evenly() -> None:
    subjects = [person for person in range(50) for _ in range(4)]
    kinds = ['live', 'live', 'print', 'replay'] * 50
    folds = assign_folds(subjects, kinds, num_folds=5)
    counts = Counter(zip(folds, kinds, strict=True))
    assert {counts[fold, 'live'] for fold in range(5)} == {20}
    assert {counts[fold, kind] for fold in range(5) for kind in ('print', 'replay')} == {10}
    assert (
        folds == assign_folds(subjects, kinds, num_folds=5) != assign_folds(subjects, kinds, num_folds=5, seed=1)
    )


def test_what_cannot_be_divided_is_refused(folder: Path, tmp_path: Path) -> None:
    dataset = MultiModalFaceDataset('all.csv', str(folder))
    with pytest.raises(InputError, match=r'folds must be at least 3 \(test, dev, training\), got 2'):
        make_folds(dataset, num_folds=2)
    with pytest.raises(InputError, match='25 folds need at least as many subjects, but there are 24; take fewer'):
        make_folds(dataset, num_folds=25)
    lines = (folder / 'all.csv').read_text().splitlines()
    (tmp_path / 'nameless.csv').write_text('\n'.join([*lines, 'x,x.png,x.png,x.png,1,,live']))
    with pytest.raises(InputError, match="1 of .* samples have no subject, the first is 'x' .nameless.csv:"):
        make_folds(MultiModalFaceDataset('nameless.csv', str(tmp_path)))
    only_live = [line for line in lines if line.startswith('sample_id') or '_live_' in line or ',p0,' in line]
    (tmp_path / 'few.csv').write_text('\n'.join(only_live))
    with pytest.raises(InputError, match='fold . would have no attacks, so no error rate'):
        make_folds(MultiModalFaceDataset('few.csv', str(tmp_path)), num_folds=3)


def test_command_writes_lists_that_can_be_read(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / 'folds'
    call = ['all.csv', '--data-root', str(folder), '--folds', '4', '--seed', '3', '--out', str(out)]
    assert main(call) == 0
    text = capsys.readouterr().out
    assert 'mmfas scores pool work_dirs/fold*/test --out pooled.csv' in text
    assert f'val_dataloader.dataset.ann_file={out}/fold${{K}}_val.csv' in text
    whole = MultiModalFaceDataset('all.csv', str(folder))
    folds = make_folds(whole, num_folds=4, seed=3)
    for number, fold in enumerate(folds):
        read = MultiModalFaceDataset(str(out / f'fold{number}_test.csv'), str(folder))
        keys = ('sample_id', 'gt_label', 'domain', 'subject', 'pai', 'video', 'img_paths')
        found = [{key: read.get_data_info(i)[key] for key in keys} for i in range(len(read))]
        assert found == [{key: info[key] for key in keys} for info in fold.test]
        row = re.search(rf'^\| {number} +\| +(\d+) \| +(\d+) \| +(\d+) ', text, re.MULTILINE)
        assert row and [int(n) for n in row.groups()] == [len(fold.train), len(fold.val), len(fold.test)]
    assert main([*call[:-4], '--folds', '40']) == 2
    assert '40 folds need at least as many subjects' in capsys.readouterr().err
