# Readouts side by side, regime `pretrained-finetuned`.
_base_ = '../_base_/regimes/pretrained_finetuned.py'
