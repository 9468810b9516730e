# MMDG: U-Adapters, SSP loss and ReGrad on the small transformer.
_base_ = '../_base_/mmdg_mini_vit_synthfas.py'
