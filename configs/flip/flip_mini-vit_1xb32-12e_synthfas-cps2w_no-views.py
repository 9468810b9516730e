# Ablation: no further views, so neither SimCLR nor consistency (FLIP-IT).
_base_ = '../_base_/flip_mini_vit_synthfas.py'

train_dataloader = dict(dataset=dict(pipeline=_base_.train_pipeline))
model = dict(head=dict(contrast_weight=0.0, consistency_weight=0.0, contrast=None))
