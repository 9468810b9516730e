"""Names at the top of a config: those that mean something, and where the values of others belong."""

from __future__ import annotations

#: What `Runner` takes, and what mmengine, the launcher or mmfas read beside it.
TOP_LEVEL_KEYS = frozenset(
    {
        # arguments of mmengine's Runner
        'auto_scale_lr',
        'custom_hooks',
        'data_preprocessor',
        'default_hooks',
        'default_scope',
        'env_cfg',
        'experiment_name',
        'launcher',
        'load_from',
        'log_level',
        'log_processor',
        'model',
        'optim_wrapper',
        'param_scheduler',
        'randomness',
        'resume',
        'test_cfg',
        'test_dataloader',
        'test_evaluator',
        'train_cfg',
        'train_dataloader',
        'val_cfg',
        'val_dataloader',
        'val_evaluator',
        'visualizer',
        'work_dir',
        # read from the config by mmengine
        'activation_checkpointing',
        'compile',
        'custom_imports',
        'efficient_conv_bn_eval',
        'model_wrapper_cfg',
        'runner_type',
        'strategy',
        'tta_model',
        'tta_pipeline',
        # read by mmfas
        'extra_test_dataloaders',
        'site_dataloader',
    }
)

_LOADERS = 'train_dataloader (and val_, test_dataloader)'
_HOOKS = 'default_hooks (checkpoint, logger, ...)'

#: Name that nothing reads at the top of a config -> where its value belongs. Variables that files of `_base_` use
#: while they are read come first, then short names, then those of OpenMMLab's older generation.
PLACES = {
    'data_root': 'train_dataloader.dataset.data_root (and val_, test_)',
    'meta_file': 'train_dataloader.dataset.meta_file (and val_, test_)',
    'dataset_type': 'train_dataloader.dataset.type (and val_, test_)',
    'train_pipeline': 'train_dataloader.dataset.pipeline',
    'val_pipeline': 'val_dataloader.dataset.pipeline',
    'pipeline': 'train_dataloader.dataset.pipeline (and val_, test_)',
    'test_pipeline': 'val_dataloader.dataset.pipeline and test_dataloader.dataset.pipeline',
    'modalities': 'model.modalities and train_dataloader.dataset.modalities (and val_, test_)',
    'batch_size': 'train_dataloader.batch_size',
    'num_workers': 'train_dataloader.num_workers (and val_, test_)',
    'max_epochs': 'train_cfg.max_epochs',
    'num_epochs': 'train_cfg.max_epochs',
    'epochs': 'train_cfg.max_epochs',
    'max_iters': 'train_cfg.max_iters',
    'val_interval': 'train_cfg.val_interval',
    'lr': 'optim_wrapper.optimizer.lr',
    'learning_rate': 'optim_wrapper.optimizer.lr',
    'base_lr': 'optim_wrapper.optimizer.lr',
    'weight_decay': 'optim_wrapper.optimizer.weight_decay',
    'clip_grad': 'optim_wrapper.clip_grad',
    'paramwise_cfg': 'optim_wrapper.paramwise_cfg',
    'neck': 'model.neck',
    'head': 'model.head',
    'trunk': 'model.trunk',
    'backbone': 'model.trunk',
    'pretrained': 'model.trunk.pretrained',
    'seed': 'randomness.seed (or --seed)',
    'deterministic': 'randomness.deterministic (or --deterministic)',
    'vis_backends': 'visualizer.vis_backends',
    'save_best': 'default_hooks.checkpoint.save_best',
    'early_stopping': "custom_hooks: dict(type='ResumableEarlyStoppingHook')",
    # the older generation
    'optimizer': 'optim_wrapper.optimizer',
    'optimizer_config': 'optim_wrapper (clip_grad, accumulative_counts, loss_scale)',
    'lr_config': 'param_scheduler',
    'momentum_config': 'param_scheduler',
    'checkpoint_config': 'default_hooks.checkpoint',
    'log_config': 'default_hooks.logger and visualizer.vis_backends',
    'evaluation': 'val_evaluator, train_cfg.val_interval and default_hooks.checkpoint.save_best',
    'data': _LOADERS,
    'samples_per_gpu': 'train_dataloader.batch_size',
    'workers_per_gpu': 'train_dataloader.num_workers',
    'runner': 'train_cfg',
    'total_epochs': 'train_cfg.max_epochs',
    'workflow': 'train_cfg, val_cfg',
    'resume_from': '--resume FILE',
    'auto_resume': '--resume',
    'dist_params': 'env_cfg.dist_cfg',
    'cudnn_benchmark': 'env_cfg.cudnn_benchmark',
    'mp_start_method': 'env_cfg.mp_cfg.mp_start_method',
    'opencv_num_threads': 'env_cfg.mp_cfg.opencv_num_threads',
    'gpu_ids': 'CUDA_VISIBLE_DEVICES in the environment',
    'fp16': '--amp',
    'hooks': _HOOKS,
    'checkpoint': 'default_hooks.checkpoint',
}
#: Names that only the older generation of OpenMMLab read; they mean a setting in any place.
OLD_NAMES = frozenset(
    {
        'optimizer',
        'optimizer_config',
        'lr_config',
        'momentum_config',
        'checkpoint_config',
        'log_config',
        'evaluation',
        'data',
        'runner',
        'total_epochs',
        'workflow',
        'resume_from',
        'dist_params',
        'fp16',
    }
)


def set_there(place: str) -> str:
    """Say what to do with a value that belongs elsewhere.

    >>> set_there('train_cfg.max_epochs'), set_there('--resume FILE')
    ('set train_cfg.max_epochs', 'use --resume FILE')
    """
    return f'{"use" if place.startswith("--") else "set"} {place}'
