# How FLIP-MCL trains CLIP ViT-B/16: published rate and decay, and the views that its configs add to the pipeline.
_base_ = ['./schedules/adamw_finetune_100e.py', './default_runtime.py']

views = dict(
    type='AddViews',
    pipeline=[
        dict(type='RandomResizedCropModalities', scale=(224, 224), area_range=(0.08, 1.0)),
        dict(type='PhotometricModalities', brightness=(-40, 40), gamma=(0.5, 1.5)),
        dict(type='RandomFlipModalities', prob=0.5),
    ],
)
optim_wrapper = dict(optimizer=dict(lr=1e-6, weight_decay=1e-6))
