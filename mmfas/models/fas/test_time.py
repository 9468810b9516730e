"""Test-time augmentation: one score from several views of a sample."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.model import BaseTTAModel

from mmfas.registry import MODELS
from mmfas.structures import FASDataSample


@MODELS.register_module()
class AverageScoreTTA(BaseTTAModel):
    """Score every view of a sample with the model inside, and take the mean of the scores.

    The views are made by `TestTimeAug` of mmcv, and a batch is collated view by view (`pseudo_collate` and
    `default_collate` of mmengine both do so). Scores are averaged as probabilities, as mmpretrain does, and logits
    too, so the mean score is not the softmax of the mean logits.

    Args:
        module: Config of the model, or the model.
        data_preprocessor: Its data preprocessor, if it has none.
    """

    def merge_preds(self, data_samples_list: Sequence[Sequence[FASDataSample]]) -> list[FASDataSample]:
        """Merge the predictions of the views.

        Args:
            data_samples_list: Views of each sample, with predictions.

        Returns:
            One sample each: the first view, with mean score and mean logits.
        """
        merged = []
        for views in data_samples_list:
            sample = views[0]
            sample.pred_score = sum(view.pred_score for view in views) / len(views)
            sample.pred_logits = torch.stack([view.pred_logits for view in views]).mean(0)
            merged.append(sample)
        return merged
