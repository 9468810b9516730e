# How every run behaves: logging, checkpoints, hooks, seed.
default_scope = 'mmfas'

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=20, ignore_last=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    # The best epoch is chosen on the dev split, never on the test set.
    checkpoint=dict(type='CheckpointHook', interval=1, max_keep_ckpts=2, save_best='dev/hter', rule='less'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    sample_seed=dict(type='SampleSeedHook'),
    loss_guard=dict(type='LossGuardHook', interval=10),
    # Curves of gradient norms, cosines and fast modalities; does nothing without gradient modulation.
    modulation_log=dict(type='ModulationLogHook'),
)
# `custom_hooks` is left free; `_base_/ema_early_stopping.py` has the two that people add most.

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
# Processes with one modality missing still reach every parameter, so nothing has to be searched for.
model_wrapper_cfg = dict(type='FASDistributedDataParallel', broadcast_buffers=False, find_unused_parameters=False)

visualizer = dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')])
log_processor = dict(by_epoch=True)
log_level = 'INFO'

randomness = dict(seed=0, deterministic=False)
load_from = None
resume = False
