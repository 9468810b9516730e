# DADM on the small transformer, everything trained from scratch. The masks are narrower than the published 256, as
# the tokens are: otherwise they would have twenty times the weights of the trunk.
_base_ = './mini_vit.py'

model = dict(
    neck=dict(_delete_=True, type='MutualMaskNeck', interaction_dims=64),
    head=dict(
        _delete_=True,
        type='HyperplaneHead',
        domains=('C', 'P', 'S', 'W'),
        angular_weight=0.3,
        prototype_weight=0.3,
    ),
)
