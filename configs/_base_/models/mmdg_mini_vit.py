# MMDG on the small transformer, everything trained from scratch.
_base_ = './mini_vit.py'

model = dict(
    neck=dict(_delete_=True, type='UAdapterNeck'),
    head=dict(_delete_=True, type='PrototypeHead', domains=('C', 'P', 'S', 'W')),
)
