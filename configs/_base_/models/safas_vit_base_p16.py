# SA-FAS on ViT-B/16, which is trained as in configs/baselines, all but the patch embedding.
_base_ = './vit_base_p16.py'

model = dict(
    head=dict(
        _delete_=True,
        type='HyperplaneHead',
        domains=('C', 'P', 'S', 'W'),
        hyperplanes=dict(norm='matrix', single_logit=True, align_epoch=20),
    ),
)
