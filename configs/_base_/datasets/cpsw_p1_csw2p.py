# Protocol 1 of the real benchmark, CSW -> P: three source domains, one unseen target.
_base_ = './cpsw_base.py'

train_dataloader = dict(dataset=dict(ann_file=['C-train.txt', 'S-train.txt', 'W-train.txt']))
val_dataloader = dict(dataset=dict(ann_file=['C-val.txt', 'S-val.txt', 'W-val.txt']))
test_dataloader = dict(dataset=dict(ann_file=['P-test.txt']))
