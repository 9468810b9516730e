# SA-FAS: a classifier for each domain, aligned after every step, on the small transformer.
_base_ = [
    '../_base_/models/safas_mini_vit.py',
    '../_base_/datasets/synthfas_p1_cps2w.py',
    '../_base_/schedules/adamw_12e.py',
    '../_base_/default_runtime.py',
]

custom_hooks = [dict(type='AfterStepHook')]
