"""From a config and weights to a table of scores, in one process or many."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.device import get_device
from mmengine.dist import collect_results
from mmengine.model import BaseModel, revert_sync_batchnorm
from mmengine.runner import Runner, autocast, set_random_seed
from mmengine.utils.dl_utils import set_multi_processing
from torch import Tensor
from torch.utils.data import DataLoader

from mmfas.evaluation import ScoreTable
from mmfas.evaluation.score_records import score_record
from mmfas.registry import MODELS, register_all_modules
from mmfas.utils.checkpoint import Origin, load_into
from mmfas.utils.compat import unscope_functions
from mmfas.utils.distributed import start_distributed
from mmfas.utils.errors import InputError


class ScoreError(InputError):
    """Scores or splits from which no valid number can be computed; the message says why."""


def prepare_scoring(cfg: Config) -> None:
    """Register all parts and set up processes and seeds as the config says.

    Args:
        cfg: Config; reads `launcher`, `env_cfg` and `randomness`.
    """
    register_all_modules()
    launcher, env = cfg.get('launcher', 'none'), cfg.get('env_cfg') or {}
    start_distributed(launcher, env)
    set_multi_processing(**env.get('mp_cfg', {}), distributed=launcher != 'none')
    set_random_seed((cfg.get('randomness') or {}).get('seed') or 0)


def load_model(cfg: Config, checkpoint: str | None) -> BaseModel:
    """Build the model of a config for scoring.

    Args:
        cfg: Config with `model`.
        checkpoint: File with the weights, all of which must fit; None for the initial ones.

    Returns:
        The model in evaluation mode on the device of this process.

    Raises:
        FileNotFoundError: If there is no such file.
        CheckpointError: If the file is refused or does not fit.
    """
    if checkpoint is not None:
        return load_trained_model(cfg, checkpoint)[0]
    model = MODELS.build(cfg.model)
    model.init_weights()
    return _made_ready(model)


def load_trained_model(cfg: Config, checkpoint: str) -> tuple[BaseModel, Origin]:
    """Build the model of a config for scoring and say where its weights come from; the file is read once.

    Args:
        cfg: Config with `model`.
        checkpoint: File with the weights, all of which must fit.

    Returns:
        The model in evaluation mode on the device of this process, and the origin of its weights.

    Raises:
        FileNotFoundError: If there is no such file.
        CheckpointError: If the file is refused or does not fit.
    """
    # Pretrained files of the parts need not be there: the checkpoint has everything.
    model = MODELS.build(cfg.model)
    origin = load_into(model, checkpoint)
    return _made_ready(model), origin


def _made_ready(model: BaseModel) -> BaseModel:
    """Put a model into evaluation mode on the device of this process."""
    model = revert_sync_batchnorm(model).to(get_device())
    model.eval()
    return model


def build_loader(loader_cfg: dict[str, Any], **changes: Any) -> DataLoader:
    """Build a loader that keeps the order of the data set and every sample of it.

    Args:
        loader_cfg: Config of a data loader.
        **changes: Values that replace those of the config, such as `batch_size`.

    Returns:
        The loader; with several processes, the part of this one.
    """
    return Runner.build_dataloader(
        Config({**unscope_functions(loader_cfg), 'drop_last': False, **changes})._cfg_dict, seed=0
    )


def load_samples(cfg: Config, key: str = 'test_dataloader', *, max_samples: int | None = None) -> list[Any]:
    """Load samples as the pipeline gives them, before they are put into batches.

    Args:
        cfg: Config with a loader.
        key: Name of the loader in the config.
        max_samples: Samples to load, spread evenly over the data set; None for all.

    Returns:
        The samples, in the order of the data set.

    Raises:
        ScoreError: If the config has no such loader.
    """
    if not cfg.get(key):
        split = {'test_dataloader': 'test', 'val_dataloader': 'dev', 'train_dataloader': 'training'}[key]
        raise ScoreError(f'the config has no {split} set: give it {key}=dict(...)')
    dataset = build_loader(cfg[key], num_workers=0, persistent_workers=False).dataset
    num_samples = len(dataset)  # type: ignore[arg-type]
    num_wanted = num_samples if max_samples is None else min(max_samples, num_samples)
    return [dataset[row] for row in torch.linspace(0, num_samples - 1, num_wanted).long().unique().tolist()]


@torch.no_grad()
def score_batches(model: BaseModel, batches: Iterable[Any], *, amp: bool = False) -> list[dict[str, Any]]:
    """Score batches.

    Args:
        model: Model in evaluation mode.
        batches: Batches as a data loader gives them.
        amp: Compute in mixed precision: half on an accelerator, bfloat16 on a CPU.

    Returns:
        One record per sample: `sample_id`, `label`, `score` and what is known of domain, subject, video, PAI.
    """
    records: list[dict[str, Any]] = []
    for batch in batches:
        with autocast(enabled=amp):
            samples = model.test_step(batch)
        records += [score_record(sample) for sample in samples]
    return records


def score_in_batches(model: BaseModel, samples: Sequence[Any], order: Sequence[int], batch_size: int) -> Tensor:
    """Score samples in batches of one size, in a given order.

    Args:
        model: Model in evaluation mode.
        samples: Samples of `load_samples`, N of them.
        order: A permutation of 0 to N - 1: neighbours in it are in the same batch.
        batch_size: Samples in a batch, at least 1; the last one may be smaller.

    Returns:
        Scores (N,) in the order of `samples`, float64.
    """
    batches = (
        pseudo_collate([samples[i] for i in order[at : at + batch_size]])
        for at in range(0, len(order), batch_size)
    )
    scores = torch.tensor([record['score'] for record in score_batches(model, batches)], dtype=torch.float64)
    ordered = torch.empty_like(scores)
    ordered[list(order)] = scores
    return ordered


def score_loader(
    model: BaseModel, loader: DataLoader, *, allow_duplicates: bool = False, amp: bool = False
) -> ScoreTable | None:
    """Score a data set.

    Args:
        model: Model in evaluation mode.
        loader: Loader of this process's part of the data set.
        allow_duplicates: Accept a sample id more than once, as some published lists repeat frames.
        amp: Compute in mixed precision, see `score_batches`.

    Returns:
        Scores in the order of the data set; None in every process but the main one.

    Raises:
        ScoreError: If a score is not finite or a sample occurs twice; the message names the sample.
    """
    # Processes take samples in turn and the last ones twice; `collect_results` undoes both.
    num_samples = len(loader.dataset)  # type: ignore[arg-type]
    records = collect_results(score_batches(model, loader, amp=amp), num_samples, device='cpu')
    if records is None:
        return None
    try:
        return ScoreTable.from_records(records, allow_duplicates=allow_duplicates)
    except ValueError as error:
        raise ScoreError(f'no score table can be made of {len(records)} samples: {error}') from error
