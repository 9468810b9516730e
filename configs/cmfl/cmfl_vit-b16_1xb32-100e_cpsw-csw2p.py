# CMFL on a fine-tuned ViT-B/16, on the real benchmark: CSW -> P.
_base_ = [
    '../_base_/models/vit_base_p16.py',
    '../_base_/datasets/cpsw_p1_csw2p.py',
    '../_base_/schedules/adamw_finetune_100e.py',
    '../_base_/default_runtime.py',
]

model = dict(head=dict(_delete_=True, type='CrossModalFocalHead', gamma=3.0, weight=0.5))
