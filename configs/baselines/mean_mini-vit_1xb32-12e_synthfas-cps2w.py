# Mean of the readouts of the present modalities: what every method must beat when modalities are missing.
_base_ = './concat_mini-vit_1xb32-12e_synthfas-cps2w.py'

model = dict(neck=dict(type='MeanNeck'))
