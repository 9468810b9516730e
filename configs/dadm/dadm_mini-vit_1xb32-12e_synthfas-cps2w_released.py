# The arithmetic of the public code, for comparison only; README.md has one line for each difference.
_base_ = '../_base_/dadm_mini_vit_synthfas.py'

model = dict(
    neck=dict(
        train_norm=False,
        dropout=0.0,
        convolve_cls=True,
        mask_absent=False,
        mutual_information=dict(weight=0.15, attach='numbered'),
    ),
    head=dict(angular=dict(reduction='released'), angular_weight=0.2, mask_unseen=False),
)
reach = ('trunk.embedding.cls_token', 'trunk.embedding.pos_embed')
optim_wrapper = dict(modulator=dict(reach=reach, eps=1e-8))
