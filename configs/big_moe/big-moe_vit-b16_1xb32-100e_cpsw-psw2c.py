# BIG-MoE with ViT-B/16 on the real benchmark: PSW -> C.
_base_ = [
    '../_base_/models/big_moe_vit_base_p16.py',
    '../_base_/datasets/cpsw_p1_psw2c.py',
    '../_base_/schedules/adamw_finetune_100e.py',
    '../_base_/default_runtime.py',
]

dropped = dict(type='RandomModalityDropout', prob=0.3)
train_dataloader = dict(dataset=dict(pipeline=[*_base_.train_pipeline[:-1], dropped, _base_.train_pipeline[-1]]))
