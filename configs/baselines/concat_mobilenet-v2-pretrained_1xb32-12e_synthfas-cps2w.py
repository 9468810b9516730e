# Readouts of a frozen MobileNetV2 (third-party weights) side by side: CPS -> W.
_base_ = [
    '../_base_/models/mobilenet_v2.py',
    '../_base_/datasets/synthfas_p1_cps2w_112px.py',
    '../_base_/schedules/adamw_12e.py',
    '../_base_/default_runtime.py',
]
