# FLIP-MCL for three modalities on the small transformer.
_base_ = '../_base_/flip_mini_vit_synthfas.py'
