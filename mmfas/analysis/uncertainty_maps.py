"""How sure a model is of each patch of each picture, for a few samples of its test set."""

from __future__ import annotations

from mmengine.config import Config

from mmfas.apis.scoring import load_model, load_samples, prepare_scoring
from mmfas.apis.uncertainty import UncertaintyMaps, uncertainty_of

__all__ = ['UncertaintyMaps', 'uncertainty_maps']


def uncertainty_maps(cfg: Config, checkpoint: str | None = None, *, max_samples: int = 4) -> list[UncertaintyMaps]:
    """Run a model on test samples, one by one, and keep its uncertainty.

    Args:
        cfg: Config with a `test_dataloader`, whose model has a neck with uncertainty, such as `UAdapterNeck`.
        checkpoint: File with the weights; the initial ones if None.
        max_samples: Samples to look at, spread evenly over the data set, at least 1.

    Returns:
        The maps of each sample.

    Raises:
        ScoreError: If the config has no test set, or its neck does not estimate confidence.
        FileNotFoundError: If the checkpoint does not exist.
        CheckpointError: If the checkpoint is refused or does not fit.
    """
    prepare_scoring(cfg)
    samples = load_samples(cfg, max_samples=max_samples)
    model = load_model(cfg, checkpoint)
    return [uncertainty_of(model, item) for item in samples]
