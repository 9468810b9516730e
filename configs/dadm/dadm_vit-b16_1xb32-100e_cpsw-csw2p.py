# DADM with a frozen ViT-B/16 on the real benchmark: CSW -> P.
_base_ = [
    '../_base_/models/dadm_vit_base_p16.py',
    '../_base_/datasets/cpsw_p1_csw2p.py',
    '../_base_/dadm_vit_base_p16_training.py',
]
