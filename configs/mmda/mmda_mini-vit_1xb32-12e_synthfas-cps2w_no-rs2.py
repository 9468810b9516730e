# Ablation: neither alignment with the anchors nor their classification.
_base_ = '../_base_/mmda_mini_vit_synthfas.py'

model = dict(head=dict(align_weight=0.0, text_weight=0.0))
