# Readouts side by side: the baseline every other neck is compared with.
_base_ = [
    '../_base_/models/mini_vit.py',
    '../_base_/datasets/synthfas_p1_cps2w.py',
    '../_base_/schedules/adamw_12e.py',
    '../_base_/default_runtime.py',
]
