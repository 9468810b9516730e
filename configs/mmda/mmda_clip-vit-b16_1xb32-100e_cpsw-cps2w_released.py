# The arithmetic of the public code on CLIP ViT-B/16, for comparison only; README.md has each difference.
_base_ = [
    '../_base_/models/mmda_clip_vit_base_p16_released.py',
    '../_base_/datasets/cpsw_p1_cps2w.py',
    '../_base_/schedules/adamw_finetune_100e.py',
    '../_base_/default_runtime.py',
]

optim_wrapper = dict(optimizer=dict(lr=5e-6, weight_decay=5e-5))
