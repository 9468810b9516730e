# SynthFAS protocol 1, CPW -> S: three source domains, one unseen target.
_base_ = './synthfas_base.py'

train_dataloader = dict(
    dataset=dict(ann_file=['protocols/C-train.txt', 'protocols/P-train.txt', 'protocols/W-train.txt'])
)
val_dataloader = dict(dataset=dict(ann_file=['protocols/C-val.txt', 'protocols/P-val.txt', 'protocols/W-val.txt']))
test_dataloader = dict(dataset=dict(ann_file=['protocols/S-test.txt']))
