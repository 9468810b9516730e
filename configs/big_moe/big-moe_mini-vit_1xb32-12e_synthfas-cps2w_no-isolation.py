# Ablation: the experts see what the gate sees, the prompt included.
_base_ = '../_base_/big_moe_mini_vit_synthfas.py'

model = dict(neck=dict(isolated_gate=False))
