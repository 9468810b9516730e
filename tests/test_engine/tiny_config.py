_base_ = ['../../configs/_base_/default_runtime.py']
custom_imports = dict(imports=['tiny_parts'])
model = dict(type='TinyFAS', drop=0.2)
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    dataset=dict(type='TinyFaces', length=16, noise=0.1),
    sampler=dict(type='DefaultSampler', shuffle=True),
)
val_dataloader = dict(
    batch_size=4,
    num_workers=0,
    dataset=dict(type='TinyFaces', length=12, offset=100),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
test_dataloader = dict(
    batch_size=5,
    num_workers=0,
    dataset=dict(type='TinyFaces', length=14, offset=200),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
extra_test_dataloaders = dict(
    other=dict(
        batch_size=5,
        num_workers=0,
        dataset=dict(type='TinyFaces', length=10, offset=300),
        sampler=dict(type='DefaultSampler', shuffle=False),
    )
)
val_evaluator = dict(type='FASMetric', split='dev')
test_evaluator = dict(type='FASMetric', split='test')
train_cfg = dict(by_epoch=True, max_epochs=3, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=0.01))
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=True, T_max=3, convert_to_iter_based=True)]
