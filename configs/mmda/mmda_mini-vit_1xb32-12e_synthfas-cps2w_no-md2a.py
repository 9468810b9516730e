# Ablation: readouts side by side and a linear layer in place of MD2A.
_base_ = '../_base_/mmda_mini_vit_synthfas.py'

model = dict(neck=dict(_delete_=True, type='ConcatNeck', proj_dims=128))
