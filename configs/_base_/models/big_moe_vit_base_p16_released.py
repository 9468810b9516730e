# BIG-MoE on ViT-B/16 with the arithmetic of the public code, for comparison only (configs/big_moe/README.md).
_base_ = './big_moe_vit_base_p16.py'

model = dict(
    data_preprocessor=dict(fill='zero'),
    trunk=dict(vit=dict(final_norm=False), fresh=('cls', 'pos')),
    neck=dict(
        experts=dict(std=1.0, unit_norm=True),
        prompt=dict(residual=False, swap_grid=True, last_bypass=True, code_at_test=False),
        mask_absent=False,
        arithmetic=dict(post_norm=True, adapter_residual=True, double_cls=True, activate_up=True, zero_up=False),
    ),
)
