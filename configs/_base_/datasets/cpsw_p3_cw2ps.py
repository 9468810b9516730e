# Protocol 3 of the real benchmark, CW -> PS: two source domains, two unseen targets.
_base_ = './cpsw_base.py'

train_dataloader = dict(dataset=dict(ann_file=['C-train.txt', 'W-train.txt']))
val_dataloader = dict(dataset=dict(ann_file=['C-val.txt', 'W-val.txt']))
test_dataloader = dict(dataset=dict(ann_file=['P-test.txt', 'S-test.txt']))
