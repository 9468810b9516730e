# CMFL on the small transformer: a classifier for every modality beside that of the readouts side by side.
_base_ = './mini_vit.py'

model = dict(head=dict(_delete_=True, type='CrossModalFocalHead', gamma=3.0, weight=0.5))
