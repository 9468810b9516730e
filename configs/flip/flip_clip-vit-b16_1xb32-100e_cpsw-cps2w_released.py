# The arithmetic of the public code, RGB alone, for comparison only; README.md has each difference.
_base_ = './flip_clip-vit-b16_1xb32-100e_cpsw-cps2w.py'

model = dict(modalities=('rgb',), head=dict(modality_loss_weight=0.0, with_replacement=True))
