# SA-FAS on ViT-B/16 on the real benchmark: CPS -> W.
_base_ = [
    '../_base_/models/safas_vit_base_p16.py',
    '../_base_/datasets/cpsw_p1_cps2w.py',
    '../_base_/schedules/adamw_finetune_100e.py',
    '../_base_/default_runtime.py',
]

custom_hooks = [dict(type='AfterStepHook')]
