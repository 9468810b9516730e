# MMDA on a small CLIP image tower. Weights and anchors are random; mmda_mini_vit.py says what that means.
_base_ = ['./mmda_mini_vit.py', '../trunks/mini_clip.py']

model = dict(trunk=dict(_delete_=True, **_base_.mini_clip))
