# Mean of the readouts of a fine-tuned ViT-B/16, on the real benchmark: CPS -> W.
_base_ = './concat_vit-b16_1xb32-100e_cpsw-cps2w.py'

model = dict(neck=dict(type='MeanNeck'))
