# Protocol 1 of the real benchmark, PSW -> C: three source domains, one unseen target.
_base_ = './cpsw_base.py'

train_dataloader = dict(dataset=dict(ann_file=['P-train.txt', 'S-train.txt', 'W-train.txt']))
val_dataloader = dict(dataset=dict(ann_file=['P-val.txt', 'S-val.txt', 'W-val.txt']))
test_dataloader = dict(dataset=dict(ann_file=['C-test.txt']))
