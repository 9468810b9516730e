# BIG-MoE on SynthFAS, from scratch: trunk, data and schedule of configs/baselines; training drops modalities.
_base_ = [
    './models/big_moe_mini_vit.py',
    './datasets/synthfas_p1_cps2w.py',
    './schedules/adamw_12e.py',
    './default_runtime.py',
]

dropped = dict(type='RandomModalityDropout', prob=0.3)
train_dataloader = dict(dataset=dict(pipeline=[*_base_.train_pipeline[:-1], dropped, _base_.train_pipeline[-1]]))
