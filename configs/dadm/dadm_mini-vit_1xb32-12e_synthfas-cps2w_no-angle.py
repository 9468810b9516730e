# Ablation: without the angular loss.
_base_ = '../_base_/dadm_mini_vit_synthfas.py'

model = dict(head=dict(angular_weight=0.0))
