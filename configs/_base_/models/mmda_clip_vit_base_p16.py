# MMDA on CLIP ViT-B/16: image tower trained, texts encoded beforehand. Nothing is downloaded: from the weights of
# OpenAI (a state dict) make both files once with
#   mmfas weights convert openai_clip clip_vit_b_16.pth checkpoints/clip_vit_base_p16.pth
#   mmfas weights prompts clip_vit_b_16.pth checkpoints/mmda_anchors.pth
model = dict(
    type='MultiModalFAS',
    modalities=('rgb', 'depth', 'ir'),
    data_preprocessor=dict(type='FASDataPreprocessor'),
    trunk=dict(
        type='MultiStreamViT',
        vit=dict(
            type='mmpretrain.VisionTransformer',
            arch='base',
            img_size=224,
            patch_size=16,
            pre_norm=True,
            norm_cfg=dict(type='LN', eps=1e-5),
            patch_cfg=dict(bias=False),
            layer_cfgs=dict(act_cfg=dict(type='mmpretrain.QuickGELU')),
        ),
        proj_dims=512,
        pretrained='checkpoints/clip_vit_base_p16.pth',
    ),
    neck=dict(type='MD2ANeck'),
    head=dict(type='TextAlignHead', anchors=dict(dims=512, file='checkpoints/mmda_anchors.pth')),
)
