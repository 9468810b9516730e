# How DADM trains a pretrained ViT-B/16; model and data come from other files in the list of bases.
_base_ = ['./schedules/adamw_finetune_100e.py', './default_runtime.py']

optim_wrapper = dict(
    type='GradientModulationOptimWrapper',
    modulator=dict(type='ReGrad', order='confidence', fast='all_but_slowest'),
)
custom_hooks = [dict(type='PrototypeRefreshHook'), dict(type='AfterStepHook')]
