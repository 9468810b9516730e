# FLIP-MCL with CLIP ViT-B/16 on the real benchmark: PSW -> C.
_base_ = [
    '../_base_/models/flip_clip_vit_base_p16.py',
    '../_base_/datasets/cpsw_p1_psw2c.py',
    '../_base_/flip_clip_vit_base_p16_training.py',
]

# behind loading and resizing: the views need images of one size
train_dataloader = dict(
    dataset=dict(pipeline=[*_base_.train_pipeline[:2], _base_.views, *_base_.train_pipeline[2:]])
)
