# MMDG with a frozen ViT-B/16 on the real benchmark: CSW -> P.
_base_ = [
    '../_base_/models/mmdg_vit_base_p16.py',
    '../_base_/datasets/cpsw_p1_csw2p.py',
    '../_base_/mmdg_vit_base_p16_training.py',
]
