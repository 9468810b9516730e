# MMDA on the small transformer, from scratch. No text tower has this width: the anchors are random directions that
# mean nothing, so RS2 here is an embedding of each class in 24 fixed points, and the scale starts low.
_base_ = './mini_vit.py'

model = dict(
    neck=dict(_delete_=True, type='MD2ANeck', num_heads=8),
    head=dict(
        _delete_=True,
        type='TextAlignHead',
        anchors=dict(dims=128),
        logit_scale=10.0,
        u_dsa=dict(num_levels=2, num_heads=8),
    ),
)
