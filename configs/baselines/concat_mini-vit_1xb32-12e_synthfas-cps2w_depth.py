# Depth alone.
_base_ = './concat_mini-vit_1xb32-12e_synthfas-cps2w.py'

model = dict(modalities=('depth',))
