# Regime `pretrained-finetuned`: everything is trained, the trunk at a tenth of the rate and without weight decay.
_base_ = [
    '../models/mini_vit_pretrained.py',
    '../datasets/synthfas_p1_cps2w.py',
    '../schedules/adamw_12e.py',
    '../default_runtime.py',
]

optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(trunk=dict(lr_mult=0.1, decay_mult=0.0))))
