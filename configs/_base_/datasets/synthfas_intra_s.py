# SynthFAS within domain S: other subjects, and other attacks where the test list has them.
_base_ = './synthfas_base.py'

train_dataloader = dict(dataset=dict(ann_file=['protocols/S-train.txt']))
val_dataloader = dict(dataset=dict(ann_file=['protocols/S-val.txt']))
test_dataloader = dict(dataset=dict(ann_file=['protocols/S-test.txt']))
