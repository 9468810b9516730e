# MMDA, ablation `no rs2`, regime `pretrained-finetuned`.
_base_ = [
    './mmda_mini-vit_1xb32-12e_synthfas-cps2w_no-rs2.py',
    '../_base_/regimes/pretrained_finetuned.py',
]

model = dict(trunk=_base_.finetuned_trunk)
optim_wrapper = dict(paramwise_cfg=_base_.finetuned_rates)
