# FLIP-MCL on a small CLIP-like trunk: one encoder for all modalities, as the image tower of CLIP, from scratch.
_base_ = './flip_mini-vit_1xb32-12e_synthfas-cps2w.py'

model = dict(
    trunk=dict(
        _delete_=True,
        type='MultiStreamViT',
        vit=dict(
            type='mmpretrain.VisionTransformer',
            arch=dict(embed_dims=128, num_layers=5, num_heads=4, feedforward_channels=512),
            img_size=64,
            patch_size=16,
            pre_norm=True,
            norm_cfg=dict(type='LN', eps=1e-5),
            patch_cfg=dict(bias=False),
            layer_cfgs=dict(act_cfg=dict(type='mmpretrain.QuickGELU')),
        ),
        proj_dims=128,
    ),
)
