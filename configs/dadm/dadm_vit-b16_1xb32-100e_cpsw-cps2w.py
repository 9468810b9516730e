# DADM with a frozen ViT-B/16 on the real benchmark: CPS -> W.
_base_ = [
    '../_base_/models/dadm_vit_base_p16.py',
    '../_base_/datasets/cpsw_p1_cps2w.py',
    '../_base_/dadm_vit_base_p16_training.py',
]
