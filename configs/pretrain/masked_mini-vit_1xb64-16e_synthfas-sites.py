# The second recipe, whose last epoch is `mmfas://mini_vit`, frozen before its run: restores pixels normalised
# within their patch, 16 epochs (4,496 steps).
_base_ = './masked_mini-vit_1xb64-5e_synthfas-sites.py'

model = dict(normalize_targets=True)
train_cfg = dict(max_epochs=16)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=True, end=1, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min_ratio=0.01, by_epoch=True, begin=1, end=16, convert_to_iter_based=True),
]
