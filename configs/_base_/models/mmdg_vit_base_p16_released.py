# MMDG on ViT-B/16 with the arithmetic of the public code, for comparison only (configs/mmdg/README.md).
_base_ = './mmdg_vit_base_p16.py'

model = dict(
    trunk=dict(per_modality=('patch', 'cls', 'pos'), frozen=('patch', 'blocks:0-10'), fresh=('pos',)),
    neck=dict(uncertainty=dict(mode='sampled'), convolve_cls=True, mask_absent=False),
    head=dict(mask_unseen=False),
)
