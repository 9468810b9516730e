# AdamW for 12 epochs: linear warm-up, then a cosine down to 1 % of the rate; both follow iterations.
train_cfg = dict(by_epoch=True, max_epochs=12, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05, betas=(0.9, 0.999)),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=True, end=1, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min_ratio=0.01, by_epoch=True, begin=1, end=12, convert_to_iter_based=True),
]

# --auto-scale-lr scales the rate by (batch size of all processes) / base_batch_size.
auto_scale_lr = dict(enable=False, base_batch_size=32)
