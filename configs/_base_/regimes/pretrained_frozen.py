# Regime `pretrained-frozen`: patches and blocks of the trunk stay as they are; class token, positions, final norm,
# neck and head are trained, as the paper of MMDG does it. Taken as `model = dict(trunk=_base_.frozen_trunk)`.
frozen_trunk = dict(pretrained='mmfas://mini_vit', frozen=('patch', 'blocks'))
