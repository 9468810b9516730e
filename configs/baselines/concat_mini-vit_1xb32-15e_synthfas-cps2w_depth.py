# Depth alone.
_base_ = './concat_mini-vit_1xb32-15e_synthfas-cps2w.py'

model = dict(modalities=('depth',))
