# MMDG on a frozen DINOv2-layout ViT-S/14 (third-party file): CPS -> W.
_base_ = [
    '../_base_/models/dinov2_vit_small_p14.py',
    '../_base_/datasets/synthfas_p1_cps2w_112px.py',
    '../_base_/schedules/adamw_12e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    neck=dict(_delete_=True, type='UAdapterNeck'),
    head=dict(_delete_=True, type='PrototypeHead', domains=('C', 'P', 'S', 'W')),
)
optim_wrapper = dict(type='GradientModulationOptimWrapper', modulator=dict(type='ReGrad'))
custom_hooks = [dict(type='PrototypeRefreshHook')]
