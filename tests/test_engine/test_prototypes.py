"""The hook that refreshes prototypes: which samples, when, on how many processes, and after a resume."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from engine_process import run_ranks, train, write_config
from mmengine.dataset import pseudo_collate
from tiny_photos import TinyPhotos
from torch import Tensor
from torch.utils.data import DataLoader

from mmfas.engine.hooks import PrototypeRefreshHook
from mmfas.registry import MODELS
from mmfas.utils.checkpoint import load_checkpoint

pytestmark = pytest.mark.engine

ARCH = dict(embed_dims=8, num_layers=1, num_heads=2, feedforward_channels=16)
MODEL = dict(
    type='mmfas.MultiModalFAS',
    trunk=dict(
        type='MultiStreamViT',
        vit=dict(arch=ARCH, img_size=16, patch_size=8, drop_rate=0.2),
        per_modality=('patch',),
    ),
    neck=dict(type='UAdapterNeck'),
    head=dict(type='PrototypeHead', domains=('C', 'S', 'W')),
)
#: A tiny MMDG in place of the model of the tiny config.
CHANGES = """
custom_imports = dict(imports=['tiny_parts', 'tiny_photos'])
model = dict(_delete_=True, **{model!r})
custom_hooks = [{hooks}]
train_dataloader = dict(
    batch_size={batch},
    dataset=dict(_delete_=True, type='TinyPhotos', absent_ir={absent_ir}),
    sampler=dict(shuffle={shuffle}),
)
train_cfg = dict(max_epochs={epochs})
optim_wrapper = dict(
    _delete_=True,
    type='GradientModulationOptimWrapper',
    modulator=dict(type='ReGrad'),
    optimizer=dict(type='SGD', lr=0.05, momentum=0.9),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = None
"""
HOOK = "dict(type='PrototypeRefreshHook', share=0.6)"


def tiny_model(**head: Any) -> Any:
    torch.manual_seed(0)
    model = MODELS.build({**MODEL, 'head': {**MODEL['head'], **head}})
    model.init_weights()
    return model


def runner_of(model: Any, **fields: Any) -> Any:
    loader = DataLoader(TinyPhotos(), batch_size=5, collate_fn=pseudo_collate, drop_last=True)
    base = dict(model=model, train_dataloader=loader, epoch=0, rank=0, seed=3, _randomness_cfg={})
    return SimpleNamespace(**{**base, **fields})


def class_means(model: Any, data: TinyPhotos) -> tuple[Tensor, Tensor]:
    """Average one sample after the other: prototypes (M, K, C) and numbers (M, K)."""
    model.eval()
    sums, counts = torch.zeros(3, 4, 8, dtype=torch.float64), torch.zeros(3, 4)
    for item in map(data.__getitem__, range(len(data))):
        sample = item['data_samples']
        row = model.data_preprocessor(
            dict(inputs={m: [v] for m, v in item['inputs'].items()}, data_samples=[sample])
        )
        with torch.no_grad():
            features = model.extract_feat(row['inputs']).per_modality[:, 0]
        k = 0 if sample.gt_label else 1 + ('C', 'S', 'W').index(sample.domain)
        for m in range(3):
            if sample.present[m]:
                sums[m, k] += features[m]
                counts[m, k] += 1
    return sums / counts.clamp(min=1)[..., None], counts


@pytest.mark.parametrize('is_training', [True, False])
def test_first_mmdg_prototypes_are_the_means_of_the_classes(is_training: bool) -> None:
    model = tiny_model().train(is_training)
    runner = runner_of(model)
    PrototypeRefreshHook(share=1.0).before_train_epoch(runner)
    assert model.training is is_training
    means, counts = class_means(model, runner.train_dataloader.dataset)
    torch.testing.assert_close(model.head.prototypes.double(), means, rtol=0, atol=1e-6)
    assert model.head.seen.equal(counts > 0) and not model.head.seen[:, 2].any(), 'nothing comes from domain S'
    assert counts.sum(1).tolist() == [22, 22, 19]


def test_prototypes_of_loaded_weights_are_forgotten() -> None:
    """Weights of another split bring classes that these data lack; they take no part here."""
    model = tiny_model()
    model.head.prototypes.fill_(7.0)
    model.head.seen.fill_(True)
    PrototypeRefreshHook(share=1.0).before_train_epoch(runner_of(model))
    assert not model.head.seen[:, 2].any() and model.head.seen[:, 0].all()
    assert not model.head.prototypes[:, 2].any()


def test_later_refreshes_keep_a_share_of_the_old() -> None:
    model = tiny_model()
    hook, runner = PrototypeRefreshHook(share=1.0, momentum=0.2), runner_of(model)
    hook.before_train_epoch(runner)
    first = model.head.prototypes.clone()
    with torch.no_grad():
        model.trunk.embedding.patch_weight.mul_(2)
    hook.after_train_epoch(runner)
    means, _ = class_means(model, runner.train_dataloader.dataset)
    torch.testing.assert_close(model.head.prototypes.double(), 0.2 * first + 0.8 * means, rtol=0, atol=1e-6)
    later = model.head.prototypes.clone()
    hook.before_train_epoch(runner_of(model, epoch=1))
    assert torch.equal(model.head.prototypes, later), 'a refresh comes after an epoch, not before the next one too'


def test_share_is_one_of_samples_and_drawn_anew() -> None:
    hook = PrototypeRefreshHook(share=0.5)
    runner = runner_of(tiny_model())

    def ids(number: int, seed: int = 3) -> set[str]:
        runner.seed = seed
        return {s.sample_id for batch in hook._batches(runner, number) for s in batch['data_samples']}

    assert len(ids(0)) == 11 and ids(0) == ids(0)
    assert ids(0) != ids(1) != ids(2) and ids(0) != ids(0, seed=4)


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r'share must lie in \(0, 1\] and momentum in \[0, 1\)'):
        PrototypeRefreshHook(share=0.0)
    model = tiny_model()
    model.head = torch.nn.Identity()
    with pytest.raises(TypeError, match='needs a head with prototypes, but model.head is a Identity'):
        PrototypeRefreshHook().before_train_epoch(runner_of(model))


def changes(**options: Any) -> str:
    model = {**MODEL, 'type': 'MultiModalFAS'}
    base = dict(model=model, hooks=HOOK, batch=4, shuffle=True, epochs=2, absent_ir=(3, 4, 11))
    return CHANGES.format(**{**base, **options})


def state_of(folder: Path, epoch: int) -> dict[str, Tensor]:
    return load_checkpoint(folder / f'epoch_{epoch}.pth')['state_dict']


@pytest.mark.slow
@pytest.mark.parametrize('absent_ir', [(3, 4, 11), tuple(range(1, 22, 2))], ids=['mixed', 'whole rank'])
def test_two_processes_train_mmdg_as_one_with_the_doubled_batch(
    absent_ir: tuple[int, ...], tmp_path: Path
) -> None:
    """Prototypes and ReGrad together. The second process has the odd samples: all live, once all without ir.

    Dropout would draw other numbers on other processes; everything else is equal.
    """
    trunk = {**MODEL['trunk'], 'vit': dict(arch=ARCH, img_size=16, patch_size=8)}
    model = {**MODEL, 'type': 'MultiModalFAS', 'trunk': trunk, 'neck': dict(type='UAdapterNeck', dropout=0.0)}
    options = dict(model=model, shuffle=False, absent_ir=absent_ir)
    double = write_config(tmp_path, 'double', changes(**options, batch=11))
    log = tmp_path / 'double.log'
    arguments = [double, '--no-validate', '--work-dir', tmp_path / 'double']
    assert run_ranks('mmfas.cli.train', arguments, log) == [0, 0], log.read_text()[-3000:]
    single, _ = train(tmp_path, 'single', '--no-validate', changes=changes(**options, batch=22))
    for epoch in (1, 2):
        two, one = state_of(tmp_path / 'double', epoch), state_of(single, epoch)
        for name, value in one.items():
            torch.testing.assert_close(two[name], value, rtol=0, atol=1e-6, msg=name)
        # three modalities of live and two domains; nobody has seen ir of a live face where the odd ones lack it
        assert one['head.seen'].sum() == (9 if len(absent_ir) < 9 else 8)
    assert one['head.prototypes'].abs().max() > 0.1
    start = state_of(single, 1)
    assert (one['neck.adapters.0.up.weight'] - start['neck.adapters.0.up.weight']).abs().max() > 1e-5


@pytest.mark.slow
def test_terminated_and_resumed_mmdg_run_has_the_prototypes_of_an_unbroken_one(tmp_path: Path) -> None:
    options = dict(epochs=3)
    whole, _ = train(tmp_path, 'whole', '--no-validate', changes=changes(**options))
    # SIGTERM is what a scheduler sends first; that SIGKILL does no harm either, test_resume.py shows.
    stop = changes(**options, hooks=f"{HOOK}, dict(type='KillHook', at_iter=8, name='SIGTERM')")
    _, text = train(tmp_path, 'broken', '--no-validate', changes=stop, expect=143)
    assert text.endswith('\nterminated; --resume continues after the last saved epoch\n')
    assert 'Traceback' not in text
    broken, text = train(tmp_path, 'broken', '--no-validate', '--resume', changes=changes(**options))
    assert 'resumed epoch: 1' in text
    one, two = state_of(whole, 3), state_of(broken, 3)
    assert all(torch.equal(value, two[name]) for name, value in one.items())
    assert not torch.equal(one['head.prototypes'], state_of(whole, 2)['head.prototypes'])


def test_forgotten_hook_is_reported_before_training(tmp_path: Path) -> None:
    _, text = train(tmp_path, 'run', '--no-validate', changes=changes(hooks=''), expect=2)
    assert "custom_hooks: PrototypeHead of model.head needs dict(type='PrototypeRefreshHook') to train" in text
