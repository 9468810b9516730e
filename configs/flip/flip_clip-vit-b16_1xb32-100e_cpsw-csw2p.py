# FLIP-MCL with CLIP ViT-B/16 on the real benchmark: CSW -> P. Rate and decay are the published ones.
_base_ = [
    '../_base_/models/flip_clip_vit_base_p16.py',
    '../_base_/datasets/cpsw_p1_csw2p.py',
    '../_base_/schedules/adamw_finetune_100e.py',
    '../_base_/default_runtime.py',
]

views = dict(
    type='AddViews',
    pipeline=[
        dict(type='RandomResizedCropModalities', scale=(224, 224), area_range=(0.08, 1.0)),
        dict(type='PhotometricModalities', brightness=(-40, 40), gamma=(0.5, 1.5)),
        dict(type='RandomFlipModalities', prob=0.5),
    ],
)
# behind loading and resizing: the views need images of one size
train_dataloader = dict(dataset=dict(pipeline=[*_base_.train_pipeline[:2], views, *_base_.train_pipeline[2:]]))
optim_wrapper = dict(optimizer=dict(lr=1e-6, weight_decay=1e-6))
