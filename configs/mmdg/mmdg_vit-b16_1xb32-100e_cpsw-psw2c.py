# MMDG with a frozen ViT-B/16 on the real benchmark: PSW -> C.
_base_ = [
    '../_base_/models/mmdg_vit_base_p16.py',
    '../_base_/datasets/cpsw_p1_psw2c.py',
    '../_base_/mmdg_vit_base_p16_training.py',
]
