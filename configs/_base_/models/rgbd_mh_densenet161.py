# RGBD-MH, the network of CMFL: every modality has a DenseNet-161 of its own, up to the second transition (384
# channels); a sigmoid stands before the classifiers. Images in [0, 1]. From scratch unless `trunk.pretrained`
# names a file of mmpretrain's DenseNet-161, which every modality then starts from.
model = dict(
    type='MultiModalFAS',
    modalities=('rgb', 'depth'),
    data_preprocessor=dict(type='FASDataPreprocessor', mean=0.0, std=255.0),
    trunk=dict(
        type='MultiStreamCNN',
        cnn=dict(type='mmpretrain.DenseNet', arch='161'),
        num_stages=2,
        per_modality=('all',),
    ),
    neck=dict(type='ConcatNeck'),
    head=dict(type='CrossModalFocalHead', gamma=3.0, weight=0.5, squash=True),
)
