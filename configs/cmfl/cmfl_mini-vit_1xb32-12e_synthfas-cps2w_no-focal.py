# Ablation: the classifiers of the modalities have the plain cross entropy.
_base_ = './cmfl_mini-vit_1xb32-12e_synthfas-cps2w.py'

model = dict(head=dict(gamma=0.0))
