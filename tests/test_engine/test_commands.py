"""The commands around a finished run: test, publish_model, analyze_logs, check_batch_independence."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from engine_process import run_command, train, write_config

from mmfas.cli.scores import eval as scores_eval
from mmfas.cli.vis import logs as vis_logs
from mmfas.cli.weights import publish as weights_publish
from mmfas.utils.checkpoint import load_checkpoint, sha256_of

pytestmark = pytest.mark.engine
_EMA = "custom_hooks = [dict(type='EMAHook', momentum=0.3)]"


@pytest.fixture(scope='module')
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp('finished'), 'run', changes=_EMA)[0]


def _test(tmp_path: Path, run: Path, *options: object, changes: str = '', expect: int = 0) -> str:
    log = tmp_path / 'test.log'
    config = write_config(tmp_path, 'config', changes)
    code = run_command('mmfas.cli.test', [config, run / 'epoch_3.pth', '--out', tmp_path / 'out', *options], log)
    assert code == expect, log.read_text()[-3000:]
    return log.read_text()


def test_artefacts_and_offline_recomputation(
    tmp_path: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = _test(tmp_path, run)
    out = tmp_path / 'out'
    names = {path.name for path in out.iterdir()}
    assert {'dev.csv', 'test.csv', 'test-other.csv', 'report.json', 'report.md', 'roc.png', 'det.png'} <= names
    for path in re.findall(r': (/\S+)$', text, re.MULTILINE):
        assert Path(path).stat().st_size > 100
    report = json.loads((out / 'report.json').read_text())
    assert report['origin']['sha256'] == sha256_of(run / 'epoch_3.pth')
    assert (report['origin']['epoch'], report['origin']['seed']) == (3, 0)
    arguments = [str(out / 'test.csv'), str(out / 'test-other.csv'), '--dev', str(out / 'dev.csv')]
    assert scores_eval.main([*arguments, '--out', str(tmp_path / 'offline.json')]) == 0
    offline = json.loads((tmp_path / 'offline.json').read_text())
    offline = offline['reports'] if isinstance(offline, dict) else offline
    assert offline == report['reports']
    offline_table = [line for line in capsys.readouterr().out.splitlines() if line.startswith('| ')]
    table = [line for line in text.splitlines() if line.startswith('| ')]
    assert len(offline_table) == 4
    assert offline_table == table[-4:]


def test_dev_scores_groups_failures_and_another_system_can_be_given(tmp_path: Path, run: Path) -> None:
    missed = tmp_path / 'missed.csv'
    missed.write_text('sample_id,domain,subject,video,pai,label,score,reason\nx,W,,,live,1,,no face\n')
    text = _test(tmp_path, run, '--no-plots', '--bootstrap', 0, '--by', 'domain', '--failures', missed)
    first = json.loads((tmp_path / 'out' / 'report.json').read_text())
    assert 'FTA live (BPNRR)' in text and [part['column'] for part in first['reports'][0]['subgroups']] == [
        'domain'
    ]
    assert first['reports'][0].pop('failures')['bpnrr']['errors'] == 1 and 'failures' not in first['reports'][1]
    for report in first['reports']:
        del report['subgroups']
        report['notes'] = [note for note in report['notes'] if not note.startswith('Presentations without')]
    dev = (tmp_path / 'out' / 'dev.csv').rename(tmp_path / 'mine.csv')
    old = (tmp_path / 'out' / 'test.csv').rename(tmp_path / 'old.csv')
    changes = 'val_dataloader = None\nval_cfg = None\nval_evaluator = None'
    options = ['--no-plots', '--bootstrap', 0, '--dev-scores', dev, '--against', f'{old}:{dev}']
    text = _test(tmp_path, run, *options, changes=changes)
    assert '(dev-eer)' in text and 'this run at' in text and 'minus old at' in text
    assert re.search(r'\| HTER +\|[^|]+\|[^|]+\| +\+0.00 \|', text)
    assert json.loads((tmp_path / 'out' / 'report.json').read_text())['reports'] == first['reports']


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ('val_dataloader = dict(dataset=dict(only_live=True))', 'all 12 samples of TinyFaces are live faces'),
        ('val_dataloader = dict(dataset=dict(offset=205))', '9 samples are in both dev and test'),
        ('test_dataloader = None\nextra_test_dataloaders = None', 'the config has no test set'),
    ],
)
def test_refused_splits(tmp_path: Path, run: Path, changes: str, message: str) -> None:
    if 'test_dataloader = None' in changes:
        changes += '\ntest_cfg = None\ntest_evaluator = None'
    text = _test(tmp_path, run, '--no-plots', changes=changes, expect=1)
    assert message in text
    assert 'Traceback' not in text
    assert not (tmp_path / 'out' / 'report.json').exists()
    scored = {path.name for path in (tmp_path / 'out').glob('*.csv')}
    kept = {'dev.csv', 'test.csv', 'test-other.csv'} if 'offset' in changes else set()
    assert scored == kept  # what was scored is not thrown away


def test_all_data_sets_and_the_folder_are_found_before_scoring(tmp_path: Path, run: Path) -> None:
    dataset = "dict(_delete_=True, type='MultiModalFaceDataset', ann_file=['gone.txt'], pipeline=[])"
    changes = f'extra_test_dataloaders = dict(other=dict(dataset={dataset}))'
    assert 'gone.txt' in _test(tmp_path, run, changes=changes, expect=1)
    assert list((tmp_path / 'out').iterdir()) == []
    (tmp_path / 'out').rmdir()
    (tmp_path / 'out').write_text('mine')
    text = _test(tmp_path, run, expect=1)
    assert f"the results cannot go into '{tmp_path / 'out'}', which is a file; give --out a folder" in text
    assert 'Read checkpoint' not in text
    assert (tmp_path / 'out').read_text() == 'mine'


def test_wrong_rules_and_dev_files_stop_before_scoring(tmp_path: Path, run: Path) -> None:
    assert 'hterr' in _test(tmp_path, run, '--criterion', 'hterr', expect=1)
    bad = tmp_path / 'bad.csv'
    bad.write_text('sample_id,score\na,0.5\n')
    for path in (bad, tmp_path / 'none.csv'):
        text = _test(tmp_path, run, '--dev-scores', path, expect=1)
        assert path.name in text
        assert 'Traceback' not in text
        assert 'Read checkpoint' not in text


def test_one_class_test_set_is_reported(tmp_path: Path, run: Path) -> None:
    changes = 'test_dataloader = dict(dataset=dict(only_live=True))'
    text = _test(tmp_path, run, '--bootstrap', 0, changes=changes)
    assert 'n/a (no attack samples)' in text


def test_other_weights_are_refused(tmp_path: Path, run: Path) -> None:
    torch.save(dict(state_dict=dict(x=torch.ones(1))), tmp_path / 'other.pth')
    log = tmp_path / 'log'
    code = run_command('mmfas.cli.test', [write_config(tmp_path, 'c'), tmp_path / 'other.pth'], log)
    assert code == 1
    assert 'does not fit the model of this config; 8 missing: ' in log.read_text()


def test_publish(tmp_path: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = load_checkpoint(run / 'epoch_3.pth')
    for weights in ('ema', 'raw'):
        arguments = [run / 'epoch_3.pth', tmp_path / f'{weights}.pth', '--weights', weights]
        assert weights_publish.main([str(argument) for argument in arguments]) == 0
    assert 'sha256 ' in capsys.readouterr().out
    paths = {path.name.partition('-')[0]: path for path in tmp_path.iterdir()}
    for path in paths.values():
        assert path.stem.rpartition('-')[2] == sha256_of(path)[:8]
    ema, raw = (torch.load(paths[name], weights_only=True) for name in ('ema', 'raw'))
    assert set(ema) == {'meta', 'state_dict'}
    assert 'time' not in ema['meta']
    name = 'joint.weight'
    assert torch.equal(ema['state_dict'][name], source['state_dict'][name])
    assert torch.equal(raw['state_dict'][name], source['ema_state_dict'][f'module.{name}'])
    assert not torch.equal(ema['state_dict'][name], raw['state_dict'][name])


@pytest.mark.parametrize(
    ('content', 'told'),
    [
        (dict(state_dict={}), 'holds no weights: .* but got nothing'),
        (dict(state_dict=[torch.ones(1)]), 'holds no weights: .* but got a list'),
        (dict(state_dict={'a': torch.ones(1), 'b': 3}), 'holds no weights: .* but got b'),
        (
            dict(state_dict={'a': torch.ones(1), 'b': torch.tensor([1, float('nan')])}),
            'NaN or infinite values in 1 of 2 tensors: b; publish an earlier checkpoint',
        ),
        (dict(state_dict={'a': torch.ones(1)}, meta=[3]), '`meta` must be a dictionary, but is a list'),
    ],
)
def test_nothing_unusable_is_published(
    content: dict, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / 'source.pth'
    torch.save(content, source)
    assert weights_publish.main([str(source), str(tmp_path / 'out.pth')]) == 1
    assert re.search(f"^CheckpointError: '{source}'.*{told}", capsys.readouterr().err, re.MULTILINE)
    assert list(tmp_path.iterdir()) == [source]


def test_logs(tmp_path: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figure = tmp_path / 'curves.png'
    assert vis_logs.main([str(run), '--keys', 'loss', 'dev/hter', '--out', str(figure)]) == 0
    text = capsys.readouterr().out
    assert figure.stat().st_size > 1000
    assert len(re.findall(r'^\| +[123] \| +4 \|', text, re.MULTILINE)) == 3
    assert vis_logs.main([str(run), '--keys', 'lss']) == 2
    assert "'lss' was not logged; logged were data_time, dev/acer_max" in capsys.readouterr().err
    assert vis_logs.main([str(tmp_path / 'nothing')]) == 2


def test_logs_of_one_name_keep_their_paths(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [str(tmp_path / protocol / 'seed0') for protocol in 'ab']
    for number, run in enumerate(runs):
        file = Path(run, 'time', 'vis_data', 'scalars.json')
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(dict(loss=number + 0.5, epoch=1, iter=1, step=1)))
    assert vis_logs.main(runs) == 0
    told = capsys.readouterr().out
    assert all(f'{run}: loss: first {number + 0.5}' in told for number, run in enumerate(runs))
    assert vis_logs.main([runs[0], f'{runs[0]}/.']) == 2
    assert f"logs: '{runs[0]}/.' is given twice; name it once" in capsys.readouterr().err


@pytest.mark.parametrize(
    ('content', 'told'),
    [
        (b'{"step": 1, "loss": 1}\n[3]\n', ':2 holds a list, not an object'),
        (b'{"step": 1, "loss": "low"}\n', ":1: 'loss' must be a number, but is 'low'"),
        (b'{"step": null, "loss": 1}\n', ":1: 'step' must be a number, but is None"),
        (b'\xff\xfe{}', ' is not UTF-8 text'),
        (b'{"step": 1, "loss": [1, 2]}\n', 'cannot be drawn: it holds [1, 2], not a number'),
    ],
)
def test_broken_logs_are_named(
    content: bytes, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / 'scalars.json'
    file.write_bytes(content)
    assert vis_logs.main([str(file)]) == 2
    message = capsys.readouterr().err
    assert (told if told.startswith('cannot') else f'{file}{told}') in message


@pytest.mark.parametrize(('mix', 'code', 'verdict'), [(False, 0, 'are independent'), (True, 1, 'DEPENDENT')])
def test_batch_independence(tmp_path: Path, run: Path, mix: bool, code: int, verdict: str) -> None:
    log = tmp_path / 'log'
    arguments = [write_config(tmp_path, 'c', f'model = dict(mix_batch={mix})'), run / 'epoch_3.pth']
    assert run_command('mmfas.cli.measure.batch', arguments, log) == code, log.read_text()
    assert verdict in log.read_text()
    assert 'batch 16, shuffled' in log.read_text()


def test_the_scope_of_inherited_functions_does_not_reach_them(tmp_path: Path) -> None:
    """`mmfas::...` in `_base_` puts `_scope_` into `collate_fn`, as here."""
    scoped = "dict(collate_fn=dict(type='default_collate', _scope_='mmfas'))"
    changes = ''.join(f'{split}_dataloader = {scoped}\n' for split in ('train', 'val', 'test'))
    work_dir, _ = train(tmp_path, 'run', '--cfg-options', 'train_cfg.max_epochs=1', changes=changes)
    log = tmp_path / 'test.log'
    config = write_config(tmp_path, 'config', changes)
    options = ['--no-plots', '--bootstrap', 0, '--out', tmp_path / 'out']
    assert run_command('mmfas.cli.test', [config, work_dir / 'epoch_1.pth', *options], log) == 0, log.read_text()
