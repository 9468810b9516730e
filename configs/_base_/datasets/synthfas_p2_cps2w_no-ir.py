# SynthFAS protocol 2, cps2w: ir missing in the whole test and dev sets.
_base_ = './synthfas_p1_cps2w.py'

test_pipeline = [
    dict(type='LoadMultiModalImages'),
    dict(type='ResizeModalities', scale=(64, 64)),
    dict(type='FixedMissing', missing=('ir',)),
    dict(type='PackFASInputs'),
]
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
