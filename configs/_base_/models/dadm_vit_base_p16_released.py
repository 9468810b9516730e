# DADM on ViT-B/16 with the arithmetic of the public code, for comparison only (configs/dadm/README.md).
_base_ = './dadm_vit_base_p16.py'

model = dict(
    trunk=dict(per_modality=('patch', 'cls', 'pos'), frozen=('patch', 'blocks:0-10'), fresh=('pos',)),
    neck=dict(
        train_norm=False,
        dropout=0.0,
        convolve_cls=True,
        mask_absent=False,
        mutual_information=dict(weight=0.15, attach='numbered'),
    ),
    head=dict(angular=dict(reduction='released'), angular_weight=0.2, mask_unseen=False),
)
