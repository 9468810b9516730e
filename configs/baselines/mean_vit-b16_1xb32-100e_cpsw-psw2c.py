# Mean of the readouts of a fine-tuned ViT-B/16, on the real benchmark: PSW -> C.
_base_ = './concat_vit-b16_1xb32-100e_cpsw-psw2c.py'

model = dict(neck=dict(type='MeanNeck'))
