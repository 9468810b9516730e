# DADM on ViT-B/16 as the paper's figure says: blocks frozen; masks, adapters, embeddings, last norm are trained.
_base_ = './vit_base_p16.py'

model = dict(
    trunk=dict(frozen=('patch', 'blocks')),
    neck=dict(_delete_=True, type='MutualMaskNeck'),
    head=dict(
        _delete_=True,
        type='HyperplaneHead',
        domains=('C', 'P', 'S', 'W'),
        angular_weight=0.3,
        prototype_weight=0.3,
    ),
)
