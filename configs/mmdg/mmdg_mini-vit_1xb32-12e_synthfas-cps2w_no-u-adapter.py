# Ablation: without U-Adapters, and so without a confidence for ReGrad.
_base_ = '../_base_/mmdg_mini_vit_synthfas.py'

model = dict(neck=dict(_delete_=True, type='ConcatNeck'))
