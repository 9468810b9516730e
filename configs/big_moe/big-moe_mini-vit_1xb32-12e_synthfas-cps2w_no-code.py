# Ablation: at test the prompt does not encode which modalities are missing, as released; they stay masked.
_base_ = '../_base_/big_moe_mini_vit_synthfas.py'

model = dict(neck=dict(prompt=dict(code_at_test=False)))
