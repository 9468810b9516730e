# Ablation: without the mutual-information term.
_base_ = '../_base_/dadm_mini_vit_synthfas.py'

model = dict(neck=dict(mutual_information=dict(weight=0.0)))
