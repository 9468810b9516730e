# Readouts of a frozen DINOv2-layout ViT-S/14 (third-party file) side by side: CPS -> W.
_base_ = [
    '../_base_/models/dinov2_vit_small_p14.py',
    '../_base_/datasets/synthfas_p1_cps2w_112px.py',
    '../_base_/schedules/adamw_12e.py',
    '../_base_/default_runtime.py',
]
