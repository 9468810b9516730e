# MMDA: MD2A, U-DSA and RS2 on the small transformer.
_base_ = '../_base_/mmda_mini_vit_synthfas.py'
