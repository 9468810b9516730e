# BIG-MoE on the small transformer, everything trained from scratch.
_base_ = './mini_vit.py'

model = dict(neck=dict(_delete_=True, type='IsolatedGatingMoENeck'))
