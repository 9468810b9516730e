# BIG-MoE: experts with an isolated gate and the convolutional prompt bypass on the small transformer.
_base_ = '../_base_/big_moe_mini_vit_synthfas.py'
