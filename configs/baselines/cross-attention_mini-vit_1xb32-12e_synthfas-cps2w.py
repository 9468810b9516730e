# Cross attention between the modalities after the last block (Flexible-Modal FAS).
_base_ = './concat_mini-vit_1xb32-12e_synthfas-cps2w.py'

model = dict(neck=dict(_delete_=True, type='CrossAttentionNeck', num_heads=4))
