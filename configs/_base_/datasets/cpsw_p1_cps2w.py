# Protocol 1 of the real benchmark, CPS -> W: three source domains, one unseen target.
_base_ = './cpsw_base.py'

train_dataloader = dict(dataset=dict(ann_file=['C-train.txt', 'P-train.txt', 'S-train.txt']))
val_dataloader = dict(dataset=dict(ann_file=['C-val.txt', 'P-val.txt', 'S-val.txt']))
test_dataloader = dict(dataset=dict(ann_file=['W-test.txt']))
