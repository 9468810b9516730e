# Ablation: a cross entropy of each modality in place of the SSP loss.
_base_ = '../_base_/mmdg_mini_vit_synthfas.py'

model = dict(head=dict(_delete_=True, type='LinearFASHead', modality_loss_weight=0.3))
custom_hooks = []
