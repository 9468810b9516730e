# Ablation: the gradients of the modalities are summed as they are.
_base_ = '../_base_/dadm_mini_vit_synthfas.py'

optim_wrapper = dict(modulator=dict(_delete_=True, type='Sum'))
