# SA-FAS on ViT-B/16 on the real benchmark: CPW -> S.
_base_ = [
    '../_base_/models/safas_vit_base_p16.py',
    '../_base_/datasets/cpsw_p1_cpw2s.py',
    '../_base_/schedules/adamw_finetune_100e.py',
    '../_base_/default_runtime.py',
]

custom_hooks = [dict(type='AfterStepHook')]
