# Readouts of a frozen EfficientNet-Lite0 (third-party weights) side by side: CPS -> W.
_base_ = [
    '../_base_/models/efficientnet_lite0.py',
    '../_base_/datasets/synthfas_p1_cps2w_112px.py',
    '../_base_/schedules/adamw_12e.py',
    '../_base_/default_runtime.py',
]
