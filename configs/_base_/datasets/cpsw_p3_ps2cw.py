# Protocol 3 of the real benchmark, PS -> CW: two source domains, two unseen targets.
_base_ = './cpsw_base.py'

train_dataloader = dict(dataset=dict(ann_file=['P-train.txt', 'S-train.txt']))
val_dataloader = dict(dataset=dict(ann_file=['P-val.txt', 'S-val.txt']))
test_dataloader = dict(dataset=dict(ann_file=['C-test.txt', 'W-test.txt']))
