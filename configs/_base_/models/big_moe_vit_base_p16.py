# BIG-MoE on ViT-B/16: one class token, positions of each modality; trained are the last block and all that is new.
_base_ = './vit_base_p16.py'

model = dict(
    trunk=dict(per_modality=('pos',), frozen=('patch', 'blocks:0-10')),
    neck=dict(_delete_=True, type='IsolatedGatingMoENeck'),
)
