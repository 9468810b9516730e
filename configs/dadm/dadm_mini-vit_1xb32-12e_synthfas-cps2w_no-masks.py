# Ablation: readouts side by side; without confidence and masks ReGrad has nothing to rebalance.
_base_ = '../_base_/dadm_mini_vit_synthfas.py'

model = dict(neck=dict(_delete_=True, type='ConcatNeck'))
optim_wrapper = dict(modulator=dict(_delete_=True, type='Sum'))
