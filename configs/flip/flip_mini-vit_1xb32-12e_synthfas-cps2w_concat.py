# Variant: readouts side by side and a linear layer in place of their mean.
_base_ = '../_base_/flip_mini_vit_synthfas.py'

model = dict(neck=dict(type='ConcatNeck'))
