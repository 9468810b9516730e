# SynthFAS within domain P: other subjects, and other attacks where the test list has them.
_base_ = './synthfas_base.py'

train_dataloader = dict(dataset=dict(ann_file=['protocols/P-train.txt']))
val_dataloader = dict(dataset=dict(ann_file=['protocols/P-val.txt']))
test_dataloader = dict(dataset=dict(ann_file=['protocols/P-test.txt']))
