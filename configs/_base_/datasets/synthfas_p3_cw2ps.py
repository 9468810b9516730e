# SynthFAS protocol 3, CW -> PS: two source domains, two unseen targets.
_base_ = './synthfas_base.py'

train_dataloader = dict(dataset=dict(ann_file=['protocols/C-train.txt', 'protocols/W-train.txt']))
val_dataloader = dict(dataset=dict(ann_file=['protocols/C-val.txt', 'protocols/W-val.txt']))
test_dataloader = dict(dataset=dict(ann_file=['protocols/P-test.txt', 'protocols/S-test.txt']))
