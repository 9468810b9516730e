"""A good config, and broken ones made from it."""

from __future__ import annotations

import copy
from typing import Any

LOADER = dict(
    batch_size=2,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='MultiModalFaceDataset', ann_file='list.txt', pipeline=[dict(type='PackFASInputs')]),
)
ARCH = dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32)
GOOD: dict[str, Any] = dict(
    default_scope='mmfas',
    model=dict(
        type='MultiModalFAS',
        trunk=dict(
            type='MultiStreamViT',
            vit=dict(type='mmpretrain.VisionTransformer', arch=ARCH, img_size=32, patch_size=8),
        ),
        neck=dict(type='ConcatNeck'),
        head=dict(type='LinearFASHead'),
    ),
    train_dataloader=LOADER,
    train_cfg=dict(by_epoch=True, max_epochs=2),
    optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3)),
    param_scheduler=[dict(type='CosineAnnealingLR', T_max=2)],
    default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1), logger=dict(type='LoggerHook')),
    custom_hooks=[dict(type='EMAHook')],
    env_cfg=dict(mp_cfg=dict(mp_start_method='fork'), dist_cfg=dict(backend='gloo')),
    auto_scale_lr=dict(enable=False, base_batch_size=32),
    randomness=dict(seed=0),
    log_processor=dict(window_size=5),
    log_level='INFO',
)


def changed(**changes: Any) -> dict[str, Any]:
    """The good config with values at dotted paths replaced: `model__neck=...`; a number steps into a list."""
    cfg = copy.deepcopy(GOOD)
    for path, value in changes.items():
        node: Any = cfg
        *way, last = path.split('__')
        for key in way:
            node = node[int(key)] if isinstance(node, list) else node.setdefault(key, {})
        if isinstance(node, list):
            node[int(last)] = value
        else:
            node[last] = value
    return cfg


def places(value: Any, way: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every place of a config, as the keys that lead to it."""
    if isinstance(value, dict):
        found = [place for key, inner in value.items() for place in places(inner, (*way, key))]
    elif isinstance(value, list):
        found = [place for i, inner in enumerate(value) for place in places(inner, (*way, str(i)))]
    else:
        found = []
    return [way, *found] if way else found
