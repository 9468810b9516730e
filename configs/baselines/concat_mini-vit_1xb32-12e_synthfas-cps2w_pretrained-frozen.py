# Readouts side by side, regime `pretrained-frozen`.
_base_ = '../_base_/regimes/pretrained_frozen.py'
