# Random sites of SynthFAS at 64 px, without labels, to pretrain on. Render them first:
#   mmfas data sites data/synthfas_sites
dataset_type = 'UnlabelledFaceDataset'
data_root = 'data/synthfas_sites'

train_pipeline = [
    dict(type='LoadMultiModalImages'),
    dict(type='RandomResizedCropModalities', scale=(64, 64), area_range=(0.8, 1.0), ratio_range=(0.95, 1.05)),
    dict(type='RandomFlipModalities', prob=0.5),
    dict(type='DrawPatchMasks', patch_size=16, ratio=0.5, hide_prob=0.5),
    dict(type='PackFASInputs'),
]
val_pipeline = [
    dict(type='LoadMultiModalImages'),
    dict(type='ResizeModalities', scale=(64, 64)),
    dict(type='DrawPatchMasks', patch_size=16, ratio=0.5, hide_prob=0.5),
    dict(type='PackFASInputs'),
]

train_dataloader = dict(
    batch_size=64,
    num_workers=1,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type=dataset_type, data_root=data_root, ann_file='protocols/pretrain.csv', pipeline=train_pipeline
    ),
)
# Sites that are not trained on; their labels are in other lists, which nothing here reads.
val_dataloader = dict(
    batch_size=64,
    num_workers=1,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='protocols/heldout.csv',
        pipeline=val_pipeline,
        test_mode=True,
    ),
)
val_evaluator = dict(type='RebuildMetric')
