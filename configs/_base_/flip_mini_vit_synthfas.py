# FLIP-MCL on SynthFAS, from scratch: trunk, data and schedule of configs/baselines, two further views of a face.
_base_ = [
    './models/flip_mini_vit.py',
    './datasets/synthfas_p1_cps2w.py',
    './schedules/adamw_12e.py',
    './default_runtime.py',
]

views = dict(
    type='AddViews',
    pipeline=[
        dict(type='RandomResizedCropModalities', scale=(64, 64), area_range=(0.3, 1.0)),
        dict(type='PhotometricModalities', brightness=(-15, 15), gamma=(0.75, 1.33)),
        dict(type='RandomFlipModalities', prob=0.5),
    ],
)
train_dataloader = dict(dataset=dict(pipeline=[_base_.train_pipeline[0], views, *_base_.train_pipeline[1:]]))
