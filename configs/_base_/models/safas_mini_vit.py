# SA-FAS on the small transformer: readouts side by side, one classifier for each domain, aligned from epoch 2
# of 12 on (the public code: from epoch 20 on).
_base_ = './mini_vit.py'

model = dict(
    head=dict(
        _delete_=True,
        type='HyperplaneHead',
        domains=('C', 'P', 'S', 'W'),
        hyperplanes=dict(norm='matrix', single_logit=True, align_epoch=2),
    ),
)
