# MMDG with trunk and rates of configs/_base_/regimes/pretrained_finetuned.py.
_base_ = '../_base_/mmdg_mini_vit_synthfas.py'

model = dict(trunk=dict(pretrained='mmfas://mini_vit'))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(trunk=dict(lr_mult=0.1, decay_mult=0.0))))
