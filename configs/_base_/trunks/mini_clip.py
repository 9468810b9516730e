# A small image tower as CLIP's, from scratch: one encoder for all modalities, a norm before the blocks, QuickGELU,
# patches without bias, the class token projected. Models put it in place of their trunk.
mini_clip = dict(
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
)
