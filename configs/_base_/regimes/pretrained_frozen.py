# Regime `pretrained-frozen`: patches and blocks of the trunk stay as they are; class token, positions, final norm,
# neck and head are trained, as the paper of MMDG does it.
_base_ = [
    '../models/mini_vit_pretrained.py',
    '../datasets/synthfas_p1_cps2w.py',
    '../schedules/adamw_12e.py',
    '../default_runtime.py',
]

model = dict(trunk=dict(frozen=('patch', 'blocks')))
