# Protocol 2 of the real benchmark, cps2w: depth and ir missing in the whole test and dev sets.
_base_ = './cpsw_p1_cps2w.py'

test_pipeline = [
    dict(type='LoadMultiModalImages', allow_size_mismatch=True),
    dict(type='ResizeModalities', scale=(224, 224)),
    dict(type='FixedMissing', missing=('depth', 'ir')),
    dict(type='PackFASInputs'),
]
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
