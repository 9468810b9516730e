"""Training: from a checked config to a finished run."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.hooks import Hook, LoggerHook
from mmengine.logging import print_log
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from mmfas.apis.back_ends import require_back_ends
from mmfas.config.idle_settings import idle_notes
from mmfas.config.late_begins import Length, late_hooks, late_schedules
from mmfas.config.lookup import type_name
from mmfas.datasets.classes import require_both_classes
from mmfas.datasets.overlaps import overlaps_of
from mmfas.engine.training_state import require_sound_state
from mmfas.registry import register_all_modules
from mmfas.utils.compat import unscope_functions
from mmfas.utils.distributed import start_distributed
from mmfas.utils.errors import InputError, MissingFileError, RunError, UserError
from mmfas.utils.files import full_disk_named
from mmfas.utils.interruption import raise_if_terminated
from mmfas.utils.locks import lock_folder_of_ranks
from mmfas.utils.paramwise import check_patterns

#: Optimizer wrapper -> the one that does the same in mixed precision.
AMP_WRAPPERS = {
    'OptimWrapper': 'AmpOptimWrapper',
    'AmpOptimWrapper': 'AmpOptimWrapper',
    'GradientModulationOptimWrapper': 'AmpGradientModulationOptimWrapper',
    'AmpGradientModulationOptimWrapper': 'AmpGradientModulationOptimWrapper',
}
#: The same for a CPU, where there is bfloat16 only.
CPU_AMP_WRAPPERS = {
    'OptimWrapper': 'BFloat16OptimWrapper',
    'BFloat16OptimWrapper': 'BFloat16OptimWrapper',
    'GradientModulationOptimWrapper': 'BFloat16GradientModulationOptimWrapper',
    'BFloat16GradientModulationOptimWrapper': 'BFloat16GradientModulationOptimWrapper',
}
#: What a CPU must have so that bfloat16 is quicker than float32 (names of `torch.cpu.get_capabilities`).
_BFLOAT16_INSTRUCTIONS = ('avx512_bf16', 'amx_bf16', 'avx10_2', 'bf16', 'sve_bf16')


class _SplitsHook(Hook):
    """Checks the splits before the first step: metrics would only fail after an epoch, and shared files never."""

    def before_run(self, runner: Runner) -> None:
        """Raise if dev has one class and a metric needs both, or if training and test have samples in common."""
        built, loop = {'train_dataloader': runner.train_loop.dataloader.dataset}, runner.val_loop
        if loop is not None:
            built['val_dataloader'] = loop.dataloader.dataset
            if any(getattr(metric, 'needs_both_classes', False) for metric in loop.evaluator.metrics):
                require_both_classes(loop.dataloader.dataset, 'val_dataloader')
        problems, notes = overlaps_of(runner.cfg, built)
        if problems:
            raise InputError('; '.join(problems))
        for note in notes:
            runner.logger.warning(note)


class _StateHook(Hook):
    """Looks at the state that a run resumes from before other hooks take parts of it."""

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Raise if it is not one to go on from."""
        if runner._resume:
            require_sound_state(runner, checkpoint)


class _StopHook(Hook):
    """Ends the run after a step in which SIGTERM came and was swallowed by other code."""

    def after_train_iter(self, runner: Runner, *args: object, **kwargs: object) -> None:
        """Raise if it came."""
        raise_if_terminated()

    def after_val_iter(self, runner: Runner, *args: object, **kwargs: object) -> None:
        """Raise if it came."""
        raise_if_terminated()


class _EnoughSteps(RunError):
    """As many steps were taken as were asked for."""


class _StepsHook(Hook):
    """Ends the run after a number of steps, wherever that is."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def after_train_iter(self, runner: Runner, *args: object, **kwargs: object) -> None:
        """Raise after the last step."""
        self.left -= 1
        if self.left <= 0:
            raise _EnoughSteps('as many steps were taken as were asked for')


def _stop_after(runner: Runner, steps: int) -> None:
    """End the run after a number of steps; its losses are logged even if these are few."""
    for hook in runner.hooks:
        if isinstance(hook, LoggerHook):
            hook.interval = min(hook.interval, steps)
    runner.register_hook(_StepsHook(steps), 'LOWEST')


def train(cfg: Config, *, steps: int | None = None) -> Runner:
    """Train the model of a config.

    Args:
        cfg: Whole config with a `work_dir`; check it first with `mmfas.apis.check_config`.
        steps: Stop after so many steps, at least 1, wherever that is: a run to see whether it works, which writes
            no checkpoint unless an epoch ends before. None for the whole training.

    Returns:
        The runner after training; `runner.model` is the trained model.

    Raises:
        ValueError: If the loader of the training data gives no batch, a pattern of `custom_keys` is in the name
            of no parameter, or a hook would act only after the end.
        ImportError: If the package of a back end for curves is not installed.
        BusyError: If another training works in the same work dir.
        FloatingPointError: If a loss or weight is no longer finite.
        CheckpointError: If a file to load or resume from is damaged, refused or does not fit.
        ValueError: If the dev split, on which a threshold is to be chosen, has one class only, or if training and
            test have samples in common.
    """
    register_all_modules()
    cfg = cfg.copy()
    if not cfg.get('work_dir'):
        raise InputError('work_dir is not set: name the folder of logs and checkpoints (--work-dir)')
    require_back_ends(cfg)
    _require_device_for_amp(cfg)
    start_distributed(cfg.get('launcher', 'none'), cfg.get('env_cfg'))
    fit_to_device(cfg)
    for key in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        if isinstance(cfg.get(key), Mapping):
            cfg[key] = unscope_functions(cfg[key])
    # The engine writes logs and a copy of the config there itself.
    with lock_folder_of_ranks(cfg.work_dir, 'give this one another --work-dir'), full_disk_named(cfg.work_dir):
        with _values_named():
            runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
        runner.register_hook(_SplitsHook(), 'VERY_HIGH')
        runner.register_hook(_StateHook(), 'VERY_HIGH')
        runner.register_hook(_StopHook(), 'LOWEST')
        with _values_named():
            _require_batches(runner)
        check_patterns(cfg.get('optim_wrapper'), getattr(runner.model, 'module', runner.model))
        _require_begins(cfg, len(runner.train_loop.dataloader))
        if steps is not None:
            _stop_after(runner, steps)
        try:
            runner.train()
        except _EnoughSteps:
            runner.logger.info(f'stopped after {steps} steps, as asked for')
            runner.call_hook('after_run')
        finally:
            _end_workers(runner)
    return runner


def _end_workers(runner: Runner) -> None:
    """End the processes of the loaders that keep them; the loaders can be used again.

    A runner is part of cycles. When the garbage collector comes, it closes the pipes to the workers before the
    iterator can tell them to end, and then waits five seconds for each.
    """
    for name in ('_train_loop', '_val_loop'):
        loader = getattr(getattr(runner, name, None), 'dataloader', None)  # before it is built, a loop is a dict
        shut_down = getattr(getattr(loader, '_iterator', None), '_shutdown_workers', None)
        if loader is not None and shut_down is not None:
            shut_down()
            loader._iterator = None


@contextmanager
def _values_named() -> Iterator[None]:
    """Turn errors of libraries about values that no check of ours knows into a sentence."""
    try:
        yield
    except (AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise InputError(
            f'the run cannot be built from this config: {type(error).__name__}: {error}; correct the value (with '
            'MMFAS_TRACEBACK=1 the traceback shows where)'
        ) from error


def _require_device_for_amp(cfg: Config) -> None:
    """Raise if mixed precision of mmengine is asked for without a device that has it."""
    kind = type_name(cfg.get('optim_wrapper') or {})
    if kind in AMP_WRAPPERS.values() and not torch.cuda.is_available():
        raise InputError(
            f"optim_wrapper.type='{kind}' is mixed precision with a GPU, and there is none; leave `Amp` out, or "
            f'name {kind.replace("Amp", "BFloat16")}'
        )


def _require_batches(runner: Runner) -> None:
    """Raise if training would take no step: it would end without an error, with the initial weights as "best"."""
    loader = runner.train_loop.dataloader
    if len(loader) == 0:
        raise InputError(
            f'the train loader gives no batch: {len(loader.dataset)} samples, batch size {loader.batch_size}'
            f'{", drop_last=True" if loader.drop_last else ""}; lower train_dataloader.batch_size or leave '
            'drop_last out'
        )


def _require_begins(cfg: Config, batches: int) -> None:
    """Raise if a hook would act only after the last step, and warn of other settings without effect."""
    tree = cfg.to_dict()
    length = Length.of(tree.get('train_cfg'), batches)
    if problems := list(late_hooks(tree, length)):
        raise InputError('; '.join(problems))
    for note in (*idle_notes(tree), *late_schedules(tree, length)):
        print_log(note, 'current', logging.WARNING)


def fit_to_device(cfg: Config) -> None:
    """Complete the model wrapper of a distributed run; without a GPU it must not be given device ids.

    Args:
        cfg: Config, changed in place.
    """
    if cfg.get('launcher', 'none') == 'none':
        return
    wrapper = ConfigDict(cfg.get('model_wrapper_cfg') or dict(broadcast_buffers=False))
    kind = wrapper.get('type', 'FASDistributedDataParallel')
    # mmengine looks this one type up without the default scope.
    wrapper.type = f'mmfas.{kind}' if isinstance(kind, str) and '.' not in kind else kind
    if not torch.cuda.is_available():
        wrapper.device_ids = None
    cfg.model_wrapper_cfg = wrapper


def bfloat16_helps() -> bool:
    """Tell whether the CPU has instructions for bfloat16; without them it is slower than float32."""
    ask = getattr(torch.cpu, 'get_capabilities', None)  # torch 2.10 or newer knows
    known: Mapping[str, Any] = ask() if ask is not None else {}
    return any(known.get(name) for name in _BFLOAT16_INSTRUCTIONS)


def use_amp(cfg: Config) -> None:
    """Switch a config to mixed precision, keeping what its optimizer wrapper does.

    Args:
        cfg: Config, changed in place.

    Raises:
        ValueError: If no mixed-precision version of the wrapper is known, or neither a GPU nor the CPU has it.
    """
    has_gpu = torch.cuda.is_available()
    known = AMP_WRAPPERS if has_gpu else CPU_AMP_WRAPPERS
    wrapper = cfg.optim_wrapper.get('type', 'OptimWrapper')
    if wrapper not in known:
        raise InputError(
            f"--amp: there is no mixed-precision version of optim_wrapper.type='{wrapper}' (known: "
            f'{", ".join(known)}); name one that supports it in the config instead of --amp'
        )
    if not (has_gpu or bfloat16_helps()):
        raise InputError(
            '--amp: there is no GPU, and without instructions for bfloat16, as here, a CPU would only be slower; '
            f"leave --amp out, or set optim_wrapper.type='{known[wrapper]}' to have it anyway"
        )
    cfg.optim_wrapper.type = known[wrapper]
    if has_gpu:
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')


def switch_off(cfg: Config, option: str) -> None:
    """Switch an option off in all loaders of a config.

    Args:
        cfg: Config, changed in place.
        option: Such as `'pin_memory'`.
    """
    named = [value for key, value in cfg.items() if key.endswith('_dataloader')]
    for loader in (*named, *(cfg.get('extra_test_dataloaders') or {}).values()):
        if isinstance(loader, dict):
            loader[option] = False


def skip_validation(cfg: Config) -> None:
    """Remove the validation from a config, and the hooks that need its metrics.

    Args:
        cfg: Config, changed in place.
    """
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    checkpoint = (cfg.get('default_hooks') or {}).get('checkpoint')
    if isinstance(checkpoint, dict):
        checkpoint.pop('save_best', None)
        checkpoint.pop('rule', None)
    if cfg.get('custom_hooks'):
        cfg.custom_hooks = [hook for hook in cfg.custom_hooks if not _stops_early(hook)]
    for name in [name for name, hook in (cfg.get('default_hooks') or {}).items() if _stops_early(hook)]:
        del cfg.default_hooks[name]


def _stops_early(hook: object) -> bool:
    """Tell whether a config is that of a hook that ends training when a metric of the validation says so."""
    stopping = ('EarlyStoppingHook', 'ResumableEarlyStoppingHook')
    return isinstance(hook, Mapping) and hook.get('type') in stopping


def use_scaled_lr(cfg: Config) -> None:
    """Switch on the scaling of the learning rate by the total batch size.

    Args:
        cfg: Config, changed in place.

    Raises:
        ValueError: If the config does not say which batch size its learning rate is for.
    """
    if not (cfg.get('auto_scale_lr') or {}).get('base_batch_size'):
        raise InputError(
            '--auto-scale-lr needs to know the batch size that the learning rate is meant for: '
            'add auto_scale_lr=dict(base_batch_size=...) to the config'
        )
    cfg.auto_scale_lr.enable = True


def split_batch(cfg: Config, num_processes: int) -> None:
    """Deal the training batch of a config out to the processes, for what one process would train.

    Only losses that compare the samples of a batch see less of it then.

    Args:
        cfg: Config, changed in place; what is no batch size is left to `check_config`.
        num_processes: Number of processes, at least 1.

    Raises:
        ValueError: If the batch cannot be dealt out evenly.
    """
    loader = cfg.get('train_dataloader')
    size = loader.get('batch_size') if isinstance(loader, Mapping) else None
    if num_processes == 1 or type(size) is not int or size < 1:
        return
    if size % num_processes:
        what = f'train_dataloader.batch_size={size} cannot be dealt out evenly'
        raise InputError(f'--split-batch: {what} to {num_processes} processes')
    cfg.train_dataloader.batch_size = size // num_processes


def find_latest(work_dir: str | Path) -> Path | None:
    """Find the checkpoint a stopped run continues from.

    Args:
        work_dir: Folder of the run.

    Returns:
        The file that `last_checkpoint` names if it is there, else the newest `epoch_N.pth` or `iter_N.pth`, else
        None. The folder may have been moved or copied.
    """
    folder = Path(work_dir)
    pointer = folder / 'last_checkpoint'
    if pointer.is_file():
        named = Path(pointer.read_text(encoding='utf-8', errors='replace').strip())  # a damaged one names nothing
        # Its own file first: in a copy of a run, the pointer still names the original.
        for candidate in (folder / named.name, named):
            if named.name and candidate.is_file():
                return candidate
    numbered = {
        int(found.group(1)): path
        for path in folder.glob('*.pth')
        if (found := re.fullmatch(r'(?:epoch|iter)_(\d+)\.pth', path.name))
    }
    return numbered[max(numbered)] if numbered else None


def resume_from(cfg: Config, source: str) -> None:
    """Let a run continue from a checkpoint.

    Args:
        cfg: Config with a `work_dir`, changed in place.
        source: Path of a checkpoint, or `'auto'` for the latest of the work dir. Where that has none, the run
            starts from the beginning, so that one command serves for start and restart.

    Raises:
        FileNotFoundError: If the path does not exist.
    """
    path = find_latest(cfg.work_dir) if source == 'auto' else Path(source)
    if path is None:
        print_log(f'--resume: no checkpoint in {cfg.work_dir}, so the run starts from the beginning', 'current')
        return
    if not path.is_file():
        raise MissingFileError(f"--resume: checkpoint '{path}' does not exist or is not a file")
    cfg.resume = True
    cfg.load_from = str(path)
