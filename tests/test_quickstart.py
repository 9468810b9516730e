"""The quick start on tiny data, with programs that need not import first: what it prints, skips and refuses."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.config import Config
from warm_python import warm_python

ROOT = Path(__file__).resolve().parents[1]
DEFAULT = 'configs/mmdg/mmdg_mini-vit_1xb32-12e_synthfas-cps2w_pretrained-finetuned.py'
CONFIG = """
_base_ = '{root}/{default}'
train_cfg = dict(max_epochs=1)
param_scheduler = []
train_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(data_root='data/synthfas_tiny'))
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(data_root='data/synthfas_tiny'))
test_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(data_root='data/synthfas_tiny'))
"""


def run(folder: Path, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run the quick start in `folder` without making an environment."""
    config = folder / 'tiny.py'
    if not config.exists():
        config.write_text(CONFIG.format(root=ROOT, default=DEFAULT), encoding='utf-8')
    env = {
        **os.environ,
        'MMFAS_PYTHON': warm_python(),
        'PYTHON_EXEC': warm_python(),  # what torchrun starts
        'MMFAS_QUICKSTART_PROCESSES': '1',
        'MMFAS_QUICKSTART_DIR': str(folder),
        'MMFAS_QUICKSTART_SIZE': 'tiny',
        'MMFAS_QUICKSTART_CONFIG': str(config),
        'PYTHONPATH': str(ROOT),
        'OMP_NUM_THREADS': '1',
        **changes,
    }
    command = ['bash', str(ROOT / 'tools' / 'quickstart.sh'), *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=1800)


def stand_in(folder: Path) -> Path:
    """Make an interpreter that notes what it is asked for and leaves other results than before."""
    script = folder / 'python'
    script.write_text(
        f'''#!/bin/sh
if [ "$1" = -c ]; then  # the question how many processes train
    PYTHONPATH="{folder}" exec "{sys.executable}" "$@"
fi
echo "$@" >> "{folder}/calls.txt"
mkdir -p "{folder}/data/synthfas_tiny/protocols"
cd "{folder}/work_dirs/quickstart_tiny"
case "$*" in
    */render_synthfas.py*) echo {{}} > ../../data/synthfas_tiny/manifest.json
        echo 'rgb.png depth.png ir.png 1' > ../../data/synthfas_tiny/protocols/W-test.txt ;;
    */train.py*) mkdir -p train && echo other > train/best_dev_hter_epoch_1.pth ;;
    */test.py*) mkdir -p test && echo other > test/report.json ;;
    *' bundle '*) echo other > model.mmfas.pth ;;
    *' predict '*) mkdir -p verdicts && echo other > verdicts/verdicts.csv ;;
esac
'''
    )
    script.chmod(0o755)
    return script


@pytest.mark.skipif(not hasattr(os, 'sched_setaffinity'), reason='cores of a process are set on Linux only')
@pytest.mark.parametrize(
    ('cores', 'gpu', 'own_config', 'processes'),
    [(2, False, False, 2), (1, False, False, 1), (2, True, False, 1), (2, False, True, 1)],
)
def test_how_many_processes_train(cores: int, gpu: bool, own_config: bool, processes: int, tmp_path: Path) -> None:
    here = sorted(os.sched_getaffinity(0))[:cores]
    if len(here) < cores:
        pytest.skip(f'needs {cores} cores')
    # In the place of torch, which tells only whether there is a GPU.
    (tmp_path / 'torch.py').write_text(f'class cuda:\n    is_available = staticmethod(lambda: {gpu})\n')
    changes = dict(MMFAS_PYTHON=str(stand_in(tmp_path)), MMFAS_QUICKSTART_PROCESSES='')
    if not own_config:
        changes['MMFAS_QUICKSTART_CONFIG'] = ''
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, here)  # the child has the cores of this process
    try:
        done = run(tmp_path, **changes)
    finally:
        os.sched_setaffinity(0, before)
    assert done.returncode == 0, done.stdout + done.stderr
    (call,) = (line for line in (tmp_path / 'calls.txt').read_text().splitlines() if 'train.py' in line)
    config = tmp_path / 'tiny.py' if own_config else ROOT / DEFAULT
    assert str(config) in call
    assert re.findall(r'--nproc-per-node (\d+)', call) == [str(processes)][: processes - 1]
    assert ('--split-batch' in call) == (processes > 1)


@pytest.mark.skipif(os.environ.get('MMFAS_TUTORIAL_SIZE') != 'full', reason='MMFAS_TUTORIAL_SIZE=full is not set')
@pytest.mark.slow(180)
@pytest.mark.engine
def test_the_bundle_of_the_quick_start_calls_no_probe_live(tmp_path: Path) -> None:
    """As a newcomer runs it, at its own size and with its own config: a few minutes."""
    changes = dict.fromkeys(('SIZE', 'CONFIG', 'PROCESSES'), '')
    done = run(tmp_path, **{f'MMFAS_QUICKSTART_{name}': value for name, value in changes.items()})
    assert done.returncode == 0, done.stdout + done.stderr
    probes = [line for line in done.stdout.splitlines() if 'probe: ' in line]
    assert len(probes) >= 5 and not [line for line in probes if re.search(r'\blive\b', line)]
    assert 'calls a scene live' not in done.stderr


@pytest.mark.slow(30)
@pytest.mark.engine
def test_quick_start_ends_with_a_table_and_skips_what_is_done(tmp_path: Path) -> None:
    first = run(tmp_path, MMFAS_QUICKSTART_PROCESSES='2')
    assert first.returncode == 0, first.stdout + first.stderr
    (ran,) = (tmp_path / 'work_dirs/quickstart_tiny/train').glob('*.py')
    cfg = Config.fromfile(ran)
    assert (cfg.launcher, cfg.train_dataloader.batch_size) == ('pytorch', 16)
    for word in (
        'HTER, dev',
        'HTER, oracle',
        'ACER (max PAI)',
        'AUC',
        'site threshold',
        'figure: work_dirs/quickstart_tiny/test/roc.png',
    ):
        assert word in first.stdout
    assert 'done before' not in first.stderr

    verdicts = tmp_path / 'work_dirs/quickstart_tiny/verdicts'
    assert sorted(path.name for path in verdicts.iterdir()) == ['0000_live.png', '0001_attack.png', 'verdicts.csv']
    assert 'probe: wall' in first.stdout

    second = run(tmp_path)
    assert second.returncode == 0, second.stderr
    assert second.stderr.count('done before') == 6
    # The table comes last and is the same.
    assert first.stdout.endswith(second.stdout)

    config = tmp_path / 'tiny.py'
    config.write_text(config.read_text(encoding='utf-8') + 'randomness = dict(seed=1)\n', encoding='utf-8')
    third = run(tmp_path, MMFAS_PYTHON=str(stand_in(tmp_path)))
    assert third.returncode == 0, third.stderr
    assert [line for line in third.stderr.splitlines() if 'done before' in line] == ['[mmfas] render: done before']
    called = (tmp_path / 'calls.txt').read_text(encoding='utf-8').replace(f'{ROOT}/', '').splitlines()
    assert [' '.join(call.split()[:3]) for call in called] == [
        f'tools/train.py {config} --work-dir',
        f'tools/test.py {config} work_dirs/quickstart_tiny/best.pth',
        '-m mmfas.cli.quickstart_report work_dirs/quickstart_tiny/test',
        '-m mmfas bundle',
        '-m mmfas predict',
        '-m mmfas predict',
    ]


def test_a_failing_step_is_named_with_its_log(tmp_path: Path) -> None:
    done = run(tmp_path, MMFAS_QUICKSTART_SIZE='huge')
    assert done.returncode == 1
    assert "invalid choice: 'huge'" in done.stdout
    assert "'render' failed; the reason is above and in work_dirs/quickstart_huge/render.log" in done.stderr


def test_an_unknown_argument_is_refused(tmp_path: Path) -> None:
    done = run(tmp_path, '--frsh')
    assert done.returncode == 1
    assert "unknown argument '--frsh'; only --fresh is known" in done.stderr
