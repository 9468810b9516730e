"""Checkpoints that survive a kill at any moment, can be resumed exactly and hold nothing but plain values."""

from __future__ import annotations

import bisect
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor

from mmfas.config.resuming import overridden_settings
from mmfas.engine.training_state import require_fitting_state
from mmfas.registry import HOOKS
from mmfas.utils.checkpoint import CheckpointError, plain
from mmfas.utils.compat import ATOMIC_BACKEND
from mmfas.utils.errors import NotFiniteError
from mmfas.utils.files import remove_leftovers, write_atomically
from mmfas.utils.message_hub import plain_message_hub
from mmfas.utils.seals import seal
from mmfas.utils.state_dicts import compare_state_dicts, find_nonfinite
from mmfas.version import __version__


class AtomicLocalBackend(LocalBackend):
    """Local checkpoint files that are there completely or not at all, and show any later damage."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write the archive `obj` with a seal to a temporary file and move it to `filepath`."""
        write_atomically(filepath, seal(obj))


register_backend(ATOMIC_BACKEND, AtomicLocalBackend, force=True)


@HOOKS.register_module(name=['SafeCheckpointHook', 'CheckpointHook'])
class SafeCheckpointHook(CheckpointHook):
    """Save checkpoints; takes the place of mmengine's `CheckpointHook` in configs of mmfas.

    Differs from mmengine's hook in this:

    * a file is written completely or not at all, the pointer `last_checkpoint` too, and an old checkpoint (the
      best one so far, too) is removed only after the new one is written; it carries the SHA-256 of its content,
      verified on every load;
    * an epoch that is validated is saved once, after its validation, so that early stopping, the best score and
      schedulers that follow a metric continue exactly where they were;
    * the message hub is saved as plain numbers, so that the file loads with the restricted unpickler;
    * weights with NaN or infinity are never saved, and a file without training state cannot be resumed.

    Args:
        interval: Save every this many epochs (or iterations).
        by_epoch: Count epochs; iterations if False.
        max_keep_ckpts: Number of checkpoints to keep, -1 for all; the best one is kept beside them.
        save_last: Save after the last epoch, whatever `interval` says.
        save_best: Metric whose best checkpoint is kept, such as `'dev/hter'`, or several.
        rule: `'less'` or `'greater'`: which value of `save_best` is better.
        save_begin: Epoch (or iteration) before which nothing is saved.
        out_dir: Folder of the checkpoints; the work dir if None.
        filename_tmpl: File name with one pair of braces; `epoch_{}.pth` or `iter_{}.pth` if None.

    Raises:
        FloatingPointError: While saving, if a weight is not finite.
        CheckpointError: While resuming, if the file lacks the training state.
    """

    last_ckpt: str | None
    best_ckpt_path: str | None
    best_ckpt_path_dict: dict[str, str | None]

    def __init__(
        self,
        interval: int = 1,
        by_epoch: bool = True,
        *,
        max_keep_ckpts: int = -1,
        save_last: bool = True,
        save_best: str | list[str] | None = None,
        rule: str | list[str] | None = None,
        save_begin: int = 0,
        out_dir: str | None = None,
        filename_tmpl: str | None = None,
    ) -> None:
        super().__init__(
            interval=interval,
            by_epoch=by_epoch,
            max_keep_ckpts=max_keep_ckpts,
            save_last=save_last,
            save_best=save_best,
            rule=rule,
            save_begin=save_begin,
            out_dir=out_dir,
            filename_tmpl=filename_tmpl,
            backend_args=dict(backend=ATOMIC_BACKEND),
        )
        self._is_training = False

    def before_train(self, runner: Runner) -> None:
        """Find the folder and what it already holds."""
        super().before_train(runner)
        if is_main_process():
            remove_leftovers(self.out_dir)  # which may lie outside of the work dir
            self._remove_outdated()
            self._point_to_resumed(runner)
        self._is_training = True

    def _remove_outdated(self) -> None:
        """Remove the checkpoint that fell out with the last one, if a kill came between writing and removing."""
        kept = list(getattr(self, 'keep_ckpt_ids', ()))
        if self.by_epoch and kept and len(kept) == self.max_keep_ckpts and self.interval > 0:
            Path(self.out_dir, self.filename_tmpl.format(min(kept) - self.interval)).unlink(missing_ok=True)

    def _point_to_resumed(self, runner: Runner) -> None:
        """Write the pointer to the checkpoint that this run goes on from, if a kill came before that."""
        pointer, resumed = Path(runner.work_dir, 'last_checkpoint'), Path(runner._load_from or '')
        is_ours = resumed.resolve().parent == Path(self.out_dir).resolve()
        if runner._resume and is_ours and not pointer.is_file():
            write_atomically(pointer, str(Path(self.out_dir, resumed.name)))

    def after_train(self, runner: Runner) -> None:
        """Note that training is over."""
        self._is_training = False

    def after_train_epoch(self, runner: Runner) -> None:
        """Save the epoch, unless its validation comes first."""
        epoch = runner.epoch + 1
        if self.by_epoch and not _is_validated(runner, epoch) and self._is_due(runner, epoch):
            self._save_epoch(runner, epoch)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Save the best checkpoint and the epoch that was just validated."""
        if not self._is_training:
            return
        # Without a last checkpoint the parent saves no second copy of it; the save below has all it would have.
        last, self.last_ckpt = self.last_ckpt, None
        super().after_val_epoch(runner, plain(metrics or {}))
        self.last_ckpt = last
        if self.by_epoch and self._is_due(runner, runner.epoch):
            self._save_epoch(runner, runner.epoch)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict[str, float]) -> None:
        """Save the best checkpoint, and only then remove the one before, which the parent would do first."""
        if not self.save_best:
            return
        is_one = len(self.key_indicators) == 1
        before: dict[str, str | None] = {'': self.best_ckpt_path} if is_one else dict(self.best_ckpt_path_dict)
        # What the parent does not know of, it does not remove.
        if is_one:
            self.best_ckpt_path = None
        else:
            self.best_ckpt_path_dict = dict.fromkeys(before)
        super()._save_best_checkpoint(runner, metrics)
        after = {'': self.best_ckpt_path} if is_one else self.best_ckpt_path_dict
        for metric, old in before.items():
            if after[metric] is None:
                after[metric] = old
            elif old and old != after[metric] and is_main_process():
                Path(old).unlink(missing_ok=True)
                runner.logger.info(f'The best checkpoint before, {old}, is removed')
        if is_one:
            self.best_ckpt_path = after['']

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Refuse poisoned weights; keep plain values only."""
        broken = find_nonfinite(checkpoint['state_dict'])
        if broken:
            raise NotFiniteError(
                f'{len(broken)} weights are NaN or infinite at epoch {runner.epoch + 1}, iteration {runner.iter}, '
                f'first {", ".join(broken[:3])}; nothing was saved. Lower the learning rate or add '
                '`clip_grad=dict(max_norm=1.0)` to optim_wrapper, then --resume'
            )
        checkpoint['message_hub'] = plain_message_hub(checkpoint['message_hub'])
        checkpoint['meta']['mmfas_version'] = __version__
        for key in set(checkpoint) - {'state_dict', 'ema_state_dict', 'message_hub'}:
            checkpoint[key] = plain(checkpoint[key])

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Refuse to resume from a file of another model, or without the state of the training."""
        lacking = [key for key in ('meta', 'message_hub', 'optimizer') if key not in checkpoint]
        if runner._resume and lacking:
            raise CheckpointError(
                f'cannot resume: the checkpoint lacks {", ".join(lacking)}. Files named best_* and published ones '
                'hold weights only; resume from epoch_*.pth, or start a new run with '
                '`--cfg-options load_from=FILE`'
            )
        self._check_weights(runner, checkpoint.get('state_dict', checkpoint))
        if runner._resume:
            self._check_settings(runner, checkpoint['meta'])
            require_fitting_state(runner, checkpoint)

    def _check_settings(self, runner: Runner, meta: dict[str, Any]) -> None:
        """Refuse settings that the state would override without a word."""
        kept = overridden_settings(str(meta.get('cfg', '')), runner.cfg.to_dict())
        if kept:
            raise CheckpointError(
                f"cannot resume: '{runner._load_from}' brings back its own values of {len(kept)} settings: "
                f'{"; ".join(kept[:5])}. Give the old values again, or start a new run from these weights: '
                f'leave --resume out and add `--cfg-options load_from={runner._load_from}`'
            )

    def _check_weights(self, runner: Runner, weights: dict[str, Any]) -> None:
        """Say which weights do not fit; an error if training is to be resumed, or if none fits."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        weights = {
            name.removeprefix('module.'): value for name, value in weights.items() if isinstance(value, Tensor)
        }
        misfit = compare_state_dicts(weights, model.state_dict())
        if not misfit:
            return
        if runner._resume:
            raise CheckpointError(
                f"cannot resume: '{runner._load_from}' does not fit the model of this config; {misfit}. Resume "
                'with the config it was trained with, or give another --work-dir'
            )
        own = model.state_dict()
        if not any(name in own and own[name].shape == value.shape for name, value in weights.items()):
            raise CheckpointError(
                f"load_from: nothing of '{runner._load_from}' fits the model of this config; {misfit}"
            )
        if misfit.recast:
            raise CheckpointError(f"load_from: '{runner._load_from}' holds numbers of another type; {misfit}")
        runner.logger.warning(f"load_from: '{runner._load_from}' fits only in part; {misfit}")

    def _is_due(self, runner: Runner, epoch: int) -> bool:
        """Tell whether the checkpoint of a finished epoch (counted from 1) is to be saved."""
        since = epoch - self.save_begin
        return (since > 0 and self.interval > 0 and since % self.interval == 0) or (
            self.save_last and epoch == runner.max_epochs
        )

    def _save_epoch(self, runner: Runner, epoch: int) -> None:
        runner.logger.info(f'Saving checkpoint at {epoch} epochs')
        self._save_checkpoint_with_step(runner, epoch, dict(epoch=epoch, iter=runner.iter))

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict[str, Any]) -> None:
        """Save one checkpoint, point to it, and only then remove what is one too many."""
        name = self.filename_tmpl.format(step)
        outdated = self._keep(runner, step)
        self.last_ckpt = str(Path(self.out_dir, name))
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir, name, meta=meta, by_epoch=self.by_epoch, backend_args=self.backend_args
        )
        if is_main_process():
            write_atomically(Path(runner.work_dir, 'last_checkpoint'), self.last_ckpt)
            for path in outdated:
                path.unlink(missing_ok=True)

    def _keep(self, runner: Runner, step: int) -> list[Path]:
        """Enter a checkpoint among those to keep; return the files that fall out."""
        if self.max_keep_ckpts <= 0:
            return []
        ids = [*(old for old in self.keep_ckpt_ids if old != step), step]
        outdated = ids[: -self.max_keep_ckpts]
        self.keep_ckpt_ids.extend(ids)  # a bounded deque: the last `max_keep_ckpts` stay
        runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        return [Path(self.out_dir, self.filename_tmpl.format(old)) for old in outdated]


def _is_validated(runner: Runner, epoch: int) -> bool:
    """Tell whether the epoch-based loop validates after this epoch (counted from 1)."""
    if runner.val_loop is None:
        return False
    loop = runner.train_loop
    interval = loop.dynamic_intervals[bisect.bisect(loop.dynamic_milestones, epoch + 1) - 1]
    return epoch >= loop.val_begin and (epoch % interval == 0 or epoch == loop.max_epochs)
