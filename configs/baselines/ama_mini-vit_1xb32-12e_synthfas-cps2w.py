# Adapters of every modality inside the blocks (AMA).
_base_ = './concat_mini-vit_1xb32-12e_synthfas-cps2w.py'

model = dict(neck=dict(_delete_=True, type='AMANeck', adapter_dims=16))
