# SynthFAS protocol 1, PSW -> C: three source domains, one unseen target.
_base_ = './synthfas_base.py'

train_dataloader = dict(
    dataset=dict(ann_file=['protocols/P-train.txt', 'protocols/S-train.txt', 'protocols/W-train.txt'])
)
val_dataloader = dict(dataset=dict(ann_file=['protocols/P-val.txt', 'protocols/S-val.txt', 'protocols/W-val.txt']))
test_dataloader = dict(dataset=dict(ann_file=['protocols/C-test.txt']))
