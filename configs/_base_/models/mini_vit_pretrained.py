# The small transformer with weights that come with the package: made without labels, see docs/en/pretraining.md.
_base_ = './mini_vit.py'

model = dict(trunk=dict(pretrained='mmfas://mini_vit'))
