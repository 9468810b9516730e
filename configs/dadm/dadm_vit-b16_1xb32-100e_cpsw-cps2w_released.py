# The arithmetic of the public code on ViT-B/16, for comparison only; README.md has one line for each difference.
_base_ = [
    '../_base_/models/dadm_vit_base_p16_released.py',
    '../_base_/datasets/cpsw_p1_cps2w.py',
    '../_base_/dadm_vit_base_p16_training.py',
]

reach = ('trunk.embedding.cls_token', 'trunk.embedding.pos_embed')
optim_wrapper = dict(modulator=dict(reach=reach, eps=1e-8))
