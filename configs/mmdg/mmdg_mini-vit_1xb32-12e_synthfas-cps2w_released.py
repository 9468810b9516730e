# The arithmetic of the public code, for comparison only; README.md has one line for each difference.
_base_ = '../_base_/mmdg_mini_vit_synthfas.py'

model = dict(
    neck=dict(uncertainty=dict(mode='sampled'), convolve_cls=True, mask_absent=False),
    head=dict(mask_unseen=False),
)
reach = ('trunk.embedding.cls_token', 'trunk.embedding.pos_embed')
optim_wrapper = dict(modulator=dict(reach=reach, eps=1e-8))
