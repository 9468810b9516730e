# Masked and cross-modal pretraining of the small transformer on random sites, without labels: the first recipe,
# frozen before its run. 300 sites of 60 frames, half of the 16-pixel patches masked in every modality, one
# modality hidden in half of the samples, smooth L1 over all pixels, AdamW at 1e-3, batches of 64, 5 epochs
# (1,405 steps), the last epoch.
_base_ = [
    '../_base_/pretrain/masked_mini_vit.py',
    '../_base_/datasets/synthfas_sites.py',
    '../_base_/schedules/adamw_12e.py',
    '../_base_/default_runtime.py',
]

train_cfg = dict(max_epochs=5)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=True, end=1, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min_ratio=0.01, by_epoch=True, begin=1, end=5, convert_to_iter_based=True),
]
auto_scale_lr = dict(base_batch_size=64)
default_hooks = dict(checkpoint=dict(save_best='rebuild/all', rule='less'))
test_cfg = None
