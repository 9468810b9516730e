# The arithmetic of the public code, for comparison only; README.md has one line for each difference.
_base_ = '../_base_/big_moe_mini_vit_synthfas.py'

model = dict(
    data_preprocessor=dict(fill='zero'),
    trunk=dict(vit=dict(final_norm=False), per_modality=('pos',), pooling='cls'),
    neck=dict(
        experts=dict(std=1.0, unit_norm=True),
        prompt=dict(residual=False, swap_grid=True, last_bypass=True, code_at_test=False),
        mask_absent=False,
        arithmetic=dict(post_norm=True, adapter_residual=True, double_cls=True, activate_up=True, zero_up=False),
    ),
)
