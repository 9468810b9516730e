# Ablation: the fused feature is aligned and classified as it is.
_base_ = '../_base_/mmda_mini_vit_synthfas.py'

model = dict(head=dict(u_dsa=dict(num_levels=0)))
