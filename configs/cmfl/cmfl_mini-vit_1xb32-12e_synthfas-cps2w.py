# CMFL on the small transformer: trunk, neck, data and schedule of configs/baselines.
_base_ = [
    '../_base_/models/cmfl_mini_vit.py',
    '../_base_/datasets/synthfas_p1_cps2w.py',
    '../_base_/schedules/adamw_12e.py',
    '../_base_/default_runtime.py',
]
