# Mean of the readouts, regime `pretrained-finetuned`.
_base_ = [
    './mean_mini-vit_1xb32-12e_synthfas-cps2w.py',
    '../_base_/regimes/pretrained_finetuned.py',
]

model = dict(trunk=_base_.finetuned_trunk)
optim_wrapper = dict(paramwise_cfg=_base_.finetuned_rates)
