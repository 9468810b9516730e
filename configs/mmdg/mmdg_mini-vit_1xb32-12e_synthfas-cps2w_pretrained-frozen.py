# MMDG, regime `pretrained-frozen`, the one it was made for.
_base_ = [
    './mmdg_mini-vit_1xb32-12e_synthfas-cps2w.py',
    '../_base_/regimes/pretrained_frozen.py',
]

model = dict(trunk=_base_.frozen_trunk)
