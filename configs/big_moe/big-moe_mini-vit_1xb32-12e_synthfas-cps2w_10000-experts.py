# Ablation: 10000 experts in every block instead of 1600.
_base_ = '../_base_/big_moe_mini_vit_synthfas.py'

model = dict(neck=dict(experts=dict(num_experts=10000)))
