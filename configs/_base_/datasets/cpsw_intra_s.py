# CASIA-SURF by itself: its own training, validation and test parts.
_base_ = './cpsw_base.py'

train_dataloader = dict(dataset=dict(ann_file=['S-train.txt']))
val_dataloader = dict(dataset=dict(ann_file=['S-val.txt']))
test_dataloader = dict(dataset=dict(ann_file=['S-test.txt']))
