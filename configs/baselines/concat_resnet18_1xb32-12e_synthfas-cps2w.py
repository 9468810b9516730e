# A residual network instead of the transformer.
_base_ = [
    '../_base_/models/resnet18.py',
    '../_base_/datasets/synthfas_p1_cps2w.py',
    '../_base_/schedules/adamw_12e.py',
    '../_base_/default_runtime.py',
]
