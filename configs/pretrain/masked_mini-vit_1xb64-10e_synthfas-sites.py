# Masked and cross-modal pretraining of the small transformer on random sites, without labels.
_base_ = [
    '../_base_/pretrain/masked_mini_vit.py',
    '../_base_/datasets/synthfas_sites.py',
    '../_base_/schedules/adamw_12e.py',
    '../_base_/default_runtime.py',
]

train_cfg = dict(max_epochs=10)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=True, end=1, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min_ratio=0.01, by_epoch=True, begin=1, end=10, convert_to_iter_based=True),
]
auto_scale_lr = dict(base_batch_size=64)
# The last epoch is what counts; nothing is chosen but on held-out sites.
default_hooks = dict(checkpoint=dict(save_best='rebuild/all', rule='less'))
test_cfg = None
