# DADM on SynthFAS, from scratch: trunk, data and schedule of configs/baselines. Only this file names the schedule.
_base_ = [
    './models/dadm_mini_vit.py',
    './datasets/synthfas_p1_cps2w.py',
    './schedules/adamw_12e.py',
    './default_runtime.py',
]

optim_wrapper = dict(
    type='GradientModulationOptimWrapper',
    modulator=dict(type='ReGrad', order='confidence', fast='all_but_slowest'),
)
custom_hooks = [dict(type='PrototypeRefreshHook'), dict(type='AfterStepHook')]
