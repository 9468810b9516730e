# SynthFAS protocol 1, CPS -> W, at 112 px (8 patches of 14), for trunks that were pretrained on larger pictures.
_base_ = './synthfas_p1_cps2w.py'

resized = dict(type='ResizeModalities', scale=(112, 112))
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            _base_.train_pipeline[0],
            dict(_base_.train_pipeline[1], scale=(112, 112)),
            *_base_.train_pipeline[2:],
        ]
    )
)
val_dataloader = dict(dataset=dict(pipeline=[_base_.test_pipeline[0], resized, _base_.test_pipeline[2]]))
test_dataloader = dict(dataset=dict(pipeline=[_base_.test_pipeline[0], resized, _base_.test_pipeline[2]]))
