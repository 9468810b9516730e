# Ablation: U-Adapters alone, with a cross entropy of each modality.
_base_ = '../_base_/mmdg_mini_vit_synthfas.py'

model = dict(head=dict(_delete_=True, type='LinearFASHead', modality_loss_weight=0.3))
custom_hooks = []
optim_wrapper = dict(modulator=dict(type='Sum'))
