# Ablation: a classifier for each domain, never drawn together.
_base_ = '../_base_/dadm_mini_vit_synthfas.py'

model = dict(head=dict(hyperplanes=dict(keep=1.0)))
