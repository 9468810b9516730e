# SynthFAS protocol 1, CPS -> W: three source domains, one unseen target.
_base_ = './synthfas_base.py'

train_dataloader = dict(
    dataset=dict(ann_file=['protocols/C-train.txt', 'protocols/P-train.txt', 'protocols/S-train.txt'])
)
val_dataloader = dict(dataset=dict(ann_file=['protocols/C-val.txt', 'protocols/P-val.txt', 'protocols/S-val.txt']))
test_dataloader = dict(dataset=dict(ann_file=['protocols/W-test.txt']))
