"""Building the model of a config."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmengine.config import Config

    from mmfas.models.fas import MultiModalFAS

from typing import TYPE_CHECKING

from mmfas.registry import MODELS, register_all_modules


def build_model(cfg: Config) -> MultiModalFAS:
    """Build the model of a config in evaluation mode, without loading any weights.

    Args:
        cfg: Config with `model`.

    Returns:
        The model.
    """
    register_all_modules()
    return MODELS.build(cfg.model).train(False)
