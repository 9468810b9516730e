# Ablation: the gradients of the modalities are summed as they are.
_base_ = '../_base_/mmdg_mini_vit_synthfas.py'

optim_wrapper = dict(modulator=dict(type='Sum'))
