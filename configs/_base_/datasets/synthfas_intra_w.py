# SynthFAS within domain W: other subjects, and other attacks where the test list has them.
_base_ = './synthfas_base.py'

train_dataloader = dict(dataset=dict(ann_file=['protocols/W-train.txt']))
val_dataloader = dict(dataset=dict(ann_file=['protocols/W-val.txt']))
test_dataloader = dict(dataset=dict(ann_file=['protocols/W-test.txt']))
