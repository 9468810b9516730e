# SynthFAS within domain C: other subjects, and other attacks where the test list has them.
_base_ = './synthfas_base.py'

train_dataloader = dict(dataset=dict(ann_file=['protocols/C-train.txt']))
val_dataloader = dict(dataset=dict(ann_file=['protocols/C-val.txt']))
test_dataloader = dict(dataset=dict(ann_file=['protocols/C-test.txt']))
