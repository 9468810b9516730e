# MMDA with CLIP ViT-B/16 on the real benchmark: CSW -> P. The rate is the published one for a trained tower.
_base_ = [
    '../_base_/models/mmda_clip_vit_base_p16.py',
    '../_base_/datasets/cpsw_p1_csw2p.py',
    '../_base_/schedules/adamw_finetune_100e.py',
    '../_base_/default_runtime.py',
]

optim_wrapper = dict(optimizer=dict(lr=5e-6, weight_decay=5e-5))
