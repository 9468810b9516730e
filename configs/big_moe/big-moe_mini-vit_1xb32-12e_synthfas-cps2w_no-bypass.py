# Ablation: all blocks see the first prompt.
_base_ = '../_base_/big_moe_mini_vit_synthfas.py'

model = dict(neck=dict(prompt=dict(bypass=False)))
