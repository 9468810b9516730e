# Readouts side by side, regime `pretrained-frozen`.
_base_ = [
    './concat_mini-vit_1xb32-12e_synthfas-cps2w.py',
    '../_base_/regimes/pretrained_frozen.py',
]

model = dict(trunk=_base_.frozen_trunk)
