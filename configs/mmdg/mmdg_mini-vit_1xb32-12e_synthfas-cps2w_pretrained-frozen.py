# MMDG in the regime it was made for: the trunk of configs/_base_/regimes/pretrained_frozen.py.
_base_ = '../_base_/mmdg_mini_vit_synthfas.py'

model = dict(trunk=dict(pretrained='mmfas://mini_vit', frozen=('patch', 'blocks')))
