"""MMDG as it is shipped, trained with the command on a tiny rendered SynthFAS, and resumed."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from engine_process import run_command, train

from mmfas.utils.checkpoint import load_checkpoint

pytestmark = pytest.mark.engine

MMDG = Path(__file__).parents[2] / 'configs/mmdg/mmdg_mini-vit_1xb32-12e_synthfas-cps2w.py'
#: The shipped config on fewer, smaller blocks; data, pipeline, sampler, hooks, wrapper and schedule stay.
CHANGES = """
loader = dict(num_workers=0, persistent_workers=False, dataset=dict(data_root={data!r}))
train_dataloader = dict(batch_size=16, **loader)
val_dataloader = test_dataloader = loader
arch = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)
model = dict(trunk=dict(vit=dict(arch=arch, drop_rate=0.1)))
train_cfg = dict(max_epochs=3)
default_hooks = dict(checkpoint=dict(max_keep_ckpts=-1))
custom_imports = dict(imports=['tiny_parts'])
custom_hooks = [dict(type='PrototypeRefreshHook'){more}]
"""


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('synthfas')
    options = ['--size', 'tiny', '--num-processes', 1, '--domains', 'C', 'P', 'S', '--splits', 'train', 'val']
    assert run_command('mmfas.cli.data.render', [folder / 'data', *options], folder / 'log') == 0, (
        folder / 'log'
    ).read_text()
    return folder / 'data'


def fit(tmp_path: Path, data: Path, name: str, *options: str, more: str = '', expect: int = 0) -> Path:
    changes = CHANGES.format(data=str(data), more=more)
    return train(tmp_path, name, *options, changes=changes, base=MMDG, expect=expect)[0]


def leaves(value: Any, path: str = '') -> dict[str, Any]:
    """Flatten a nested state to its tensors and plain values."""
    if isinstance(value, (dict, list, tuple)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return {k: v for key, inner in items for k, v in leaves(inner, f'{path}.{key}').items()}
    return {path: value}


@pytest.mark.slow
def test_mmdg_resumed_after_a_kill_equals_the_unbroken_run(tmp_path: Path, data: Path) -> None:
    """Weights, prototypes, moments of the optimizer, schedule and best epoch: equal to the last bit."""
    whole = fit(tmp_path, data, 'whole')
    steps = load_checkpoint(whole / 'epoch_1.pth')['meta']['iter']
    kill = f", dict(type='KillHook', at_iter={steps + 2})"
    broken = fit(tmp_path, data, 'broken', more=kill, expect=-signal.SIGKILL)
    assert not (broken / 'epoch_2.pth').exists()
    fit(tmp_path, data, 'broken', '--resume')
    one, two = (load_checkpoint(folder / 'epoch_3.pth') for folder in (whole, broken))
    assert one['message_hub']['runtime_info']['best_score'] == two['message_hub']['runtime_info']['best_score']
    for part in ('state_dict', 'optimizer', 'param_schedulers'):
        expected, found = leaves(one[part]), leaves(two[part])
        assert list(expected) == list(found)
        for name, value in expected.items():
            same = torch.equal(value, found[name]) if isinstance(value, torch.Tensor) else value == found[name]
            assert same, (part, name)
    first = load_checkpoint(whole / 'epoch_1.pth')['state_dict']
    for name in ('head.prototypes', 'trunk.embedding.pos_embed', 'neck.adapters.0.up.weight'):
        assert not torch.equal(first[name], one['state_dict'][name]), name
    # three modalities have seen live ones and the spoofs of C, P and S; W is the target
    assert one['state_dict']['head.seen'].tolist() == [[True, True, True, True, False]] * 3


@pytest.mark.slow
def test_tensorboard_gets_the_curves_of_every_modality(tmp_path: Path, data: Path) -> None:
    """Losses, gradient norms, cosines and which modality was fast, read back from the event file."""
    event_accumulator = pytest.importorskip('tensorboard.backend.event_processing.event_accumulator')
    backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
    changes = CHANGES.format(data=str(data), more='') + f'visualizer = dict(vis_backends={backends})\n'
    work_dir, _ = train(tmp_path, 'curves', changes=changes.replace('max_epochs=3', 'max_epochs=1'), base=MMDG)
    (events,) = work_dir.rglob('events.out.tfevents.*')
    written = event_accumulator.EventAccumulator(str(events))
    written.Reload()
    tags = set(written.Tags()['scalars'])
    modalities = ('rgb', 'depth', 'ir')
    assert tags >= {f'{kind}_{name}' for kind in ('loss', 'grad_norm', 'fast') for name in modalities}
    assert tags >= {f'grad_cos_{pair}' for pair in ('rgb_depth', 'rgb_ir', 'depth_ir')}
