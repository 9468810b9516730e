# RGBD-MH with the recipe of the public code, RGB and depth alone, for comparison only; see README.md.
_base_ = [
    '../_base_/models/rgbd_mh_densenet161.py',
    '../_base_/datasets/cpsw_p1_cps2w.py',
    '../_base_/schedules/adamw_finetune_100e.py',
    '../_base_/default_runtime.py',
]

train_pipeline = [
    dict(type='LoadMultiModalImages', allow_size_mismatch=True),
    dict(type='ResizeModalities', scale=(224, 224)),
    dict(type='RandomFlipModalities', prob=0.5),
    dict(type='PackFASInputs'),
]
train_dataloader = dict(batch_size=64, dataset=dict(pipeline=train_pipeline))
train_cfg = dict(max_epochs=25)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='Adam', lr=1e-4, weight_decay=1e-6), clip_grad=None, paramwise_cfg=None
)
param_scheduler = []
