# MMDA on a small CLIP-like trunk: one encoder for all modalities, as the paper has it, from scratch.
_base_ = [
    '../_base_/models/mmda_mini_clip.py',
    '../_base_/datasets/synthfas_p1_cps2w.py',
    '../_base_/schedules/adamw_12e.py',
    '../_base_/default_runtime.py',
]
