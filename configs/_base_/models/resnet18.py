# ResNet-18 shared by all modalities, for late necks; from scratch unless `trunk.pretrained` names a file.
model = dict(
    type='MultiModalFAS',
    modalities=('rgb', 'depth', 'ir'),
    data_preprocessor=dict(type='FASDataPreprocessor'),
    trunk=dict(type='MultiStreamCNN', cnn=dict(type='mmpretrain.ResNet', depth=18)),
    neck=dict(type='ConcatNeck'),
    head=dict(type='LinearFASHead'),
)
