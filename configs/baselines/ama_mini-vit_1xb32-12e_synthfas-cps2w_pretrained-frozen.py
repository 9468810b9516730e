# Adapters of every modality inside the blocks (AMA), regime `pretrained-frozen`.
_base_ = '../_base_/regimes/pretrained_frozen.py'

model = dict(neck=dict(_delete_=True, type='AMANeck', adapter_dims=16))
