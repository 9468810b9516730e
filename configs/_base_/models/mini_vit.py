# A vision transformer of 1.1 M parameters for 64-pixel images, small enough to train from scratch on a CPU.
model = dict(
    type='MultiModalFAS',
    modalities=('rgb', 'depth', 'ir'),
    data_preprocessor=dict(type='FASDataPreprocessor'),
    trunk=dict(
        type='MultiStreamViT',
        vit=dict(
            type='mmpretrain.VisionTransformer',
            arch=dict(embed_dims=128, num_layers=5, num_heads=4, feedforward_channels=512),
            img_size=64,
            patch_size=16,
        ),
        per_modality=('patch', 'cls', 'pos'),
        pooling='mean',
    ),
    neck=dict(type='ConcatNeck'),
    head=dict(type='LinearFASHead'),
)
