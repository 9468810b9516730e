"""Further views of a sample, for losses that compare two pictures of one face."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mmcv.transforms import BaseTransform

from mmfas.registry import SCOPE, TRANSFORMS
from mmfas.structures import MODALITIES
from mmfas.utils.errors import InputError

__all__ = ['AddViews']

_Step = Callable[[dict[str, Any]], dict[str, Any]]


@TRANSFORMS.register_module()
class AddViews(BaseTransform):
    """Make further views of a sample with a pipeline of their own; the sample itself stays as it is.

    The views are made of what the sample is where this transform stands: put it before the augmentation of the
    sample. `PackFASInputs` packs them as `inputs_view`. A modality that the sample lacks, or loses later, is
    absent in its views too.

    Required Keys:
        rgb, depth, ir, present
    Added Keys:
        views (list of modality -> image)

    Args:
        pipeline: Configs of the transforms that make a view, or the transforms.
        num_views: Number of views, at least 1.

    Raises:
        ValueError: If there is no transform or no view, or the pipeline changes which modalities there are.
    """

    def __init__(self, pipeline: Sequence[Mapping[str, Any] | _Step], num_views: int = 2) -> None:
        if num_views < 1 or not pipeline:
            raise InputError(
                f'AddViews needs at least one view and one transform, but got num_views={num_views} and {pipeline}'
            )
        self.steps: list[_Step] = [
            TRANSFORMS.build({'_scope_': SCOPE, **step}) if isinstance(step, Mapping) else step
            for step in pipeline
        ]
        self.num_views = num_views

    @classmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return a tiny config that builds this transform."""
        return {'type': cls.__name__, 'pipeline': [{'type': 'RandomFlipModalities', 'prob': 0.5}]}

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add the views.

        Args:
            results: Sample with images (H, W, 3).

        Returns:
            The sample with `views`.
        """
        return {**results, 'views': [self._view(results) for _ in range(self.num_views)]}

    def _view(self, results: Mapping[str, Any]) -> dict[str, Any]:
        """Make one view: modality -> image."""
        view = {**results, 'present': dict(results['present'])}
        for step in self.steps:
            view = step(view)
        if view['present'] != results['present']:
            raise InputError(
                'AddViews: a view has the modalities of its sample, so its pipeline must not remove any; put '
                'RandomModalityDropout behind AddViews'
            )
        return {m: view[m] for m in MODALITIES}

    def __repr__(self) -> str:
        return f'{type(self).__name__}(pipeline={self.steps}, num_views={self.num_views})'
