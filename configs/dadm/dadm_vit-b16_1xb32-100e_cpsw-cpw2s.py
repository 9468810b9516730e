# DADM with a frozen ViT-B/16 on the real benchmark: CPW -> S.
_base_ = [
    '../_base_/models/dadm_vit_base_p16.py',
    '../_base_/datasets/cpsw_p1_cpw2s.py',
    '../_base_/dadm_vit_base_p16_training.py',
]
