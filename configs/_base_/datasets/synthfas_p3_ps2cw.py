# SynthFAS protocol 3, PS -> CW: two source domains, two unseen targets.
_base_ = './synthfas_base.py'

train_dataloader = dict(dataset=dict(ann_file=['protocols/P-train.txt', 'protocols/S-train.txt']))
val_dataloader = dict(dataset=dict(ann_file=['protocols/P-val.txt', 'protocols/S-val.txt']))
test_dataloader = dict(dataset=dict(ann_file=['protocols/C-test.txt', 'protocols/W-test.txt']))
