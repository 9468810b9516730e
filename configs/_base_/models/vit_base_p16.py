# ViT-B/16 at 224 pixels. Nothing is downloaded: make the file once with
#   mmfas weights convert torchvision vit_b_16.pth checkpoints/vit_base_p16.pth
model = dict(
    type='MultiModalFAS',
    modalities=('rgb', 'depth', 'ir'),
    data_preprocessor=dict(type='FASDataPreprocessor'),
    trunk=dict(
        type='MultiStreamViT',
        vit=dict(type='mmpretrain.VisionTransformer', arch='base', img_size=224, patch_size=16),
        per_modality=('cls', 'pos'),
        frozen=('patch',),
        pretrained='checkpoints/vit_base_p16.pth',
    ),
    neck=dict(type='ConcatNeck'),
    head=dict(type='LinearFASHead'),
)
