# MMDG on ViT-B/16 as the paper draws it: all blocks frozen; adapters, embeddings and the last norm are trained.
_base_ = './vit_base_p16.py'

model = dict(
    trunk=dict(frozen=('patch', 'blocks')),
    neck=dict(_delete_=True, type='UAdapterNeck'),
    head=dict(_delete_=True, type='PrototypeHead', domains=('C', 'P', 'S', 'W')),
)
