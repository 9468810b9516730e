# FLIP-MCL on a small CLIP-like trunk: one encoder for all modalities, as the image tower of CLIP, from scratch.
_base_ = ['./flip_mini-vit_1xb32-12e_synthfas-cps2w.py', '../_base_/trunks/mini_clip.py']

model = dict(trunk=dict(_delete_=True, **_base_.mini_clip))
