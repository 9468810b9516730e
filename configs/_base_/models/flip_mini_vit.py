# FLIP-MCL on the small transformer, from scratch. No text tower has this width: the prompts are random directions
# that mean nothing, so the texts are two fixed points, and the scale starts low.
_base_ = './mini_vit.py'

model = dict(
    neck=dict(_delete_=True, type='MeanNeck'),
    head=dict(
        _delete_=True,
        type='TextContrastHead',
        anchors=dict(dims=128, num_anchors=(6, 6)),
        logit_scale=10.0,
        contrast=dict(hidden_dims=512, out_dims=128),
    ),
)
