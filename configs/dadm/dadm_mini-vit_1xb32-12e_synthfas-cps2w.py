# DADM: mutual masks, aligned classifiers, angles, mutual-information term and ReGrad on the small transformer.
_base_ = '../_base_/dadm_mini_vit_synthfas.py'
