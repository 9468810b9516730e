"""From pictures to what the model takes: the test pipeline of the config, kept as data in a bundle.

There is no second implementation: the transforms are those that the data set runs in training and in `mmfas test`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mmengine.dataset import Compose

from mmfas.datasets.transforms.loading import LoadedFile, LoadMultiModalImages
from mmfas.deploy.trusted_parts import check_parts
from mmfas.registry import TRANSFORMS, register_all_modules
from mmfas.structures import MODALITIES
from mmfas.utils.errors import InputError

__all__ = ['Preprocessing', 'test_pipeline_of']

#: Keys of a loader's data set under which wrappers keep the data set inside.
_INNER = ('dataset', 'datasets')


class Preprocessing:
    """Runs the transforms of a test pipeline on pictures that come from anywhere.

    Args:
        steps: Configs of the transforms, from `LoadMultiModalImages` to `PackFASInputs`.
        modalities: Modalities that are loaded.

    Raises:
        ValueError: If a step names code instead of a registered transform.
    """

    def __init__(self, steps: Sequence[Mapping[str, Any]], modalities: Sequence[str] = MODALITIES) -> None:
        register_all_modules()
        check_parts(steps, TRANSFORMS, 'the pipeline')
        self.steps = [dict(step) for step in steps]
        self.modalities = tuple(modalities)
        built = [TRANSFORMS.build(dict(step)) for step in self.steps]
        if not built or not isinstance(built[0], LoadMultiModalImages):
            raise InputError('the pipeline must start with LoadMultiModalImages')
        self.loader: LoadMultiModalImages = built[0]
        self._rest = Compose(built[1:])

    def __call__(
        self,
        pictures: Mapping[str, Any],
        sample_id: str = 'input',
        *,
        watch: Callable[[LoadedFile], None] = lambda file: None,
    ) -> dict[str, Any]:
        """Prepare one sample.

        Args:
            pictures: Modality -> path of a file or a picture in memory, as `LoadMultiModalImages` takes them;
                `npz` -> path of an archive of PADISI.
            sample_id: Name for messages and results.
            watch: Called with every picture that was loaded, such as by the quality gate.

        Returns:
            `inputs` (modality -> uint8 tensor (3, H, W)) and `data_samples` (a `FASDataSample`).

        Raises:
            FileNotFoundError: If a file is missing.
            ValueError: If a picture cannot be used; the message names modality and file.
        """
        packed = self._rest(self.loader.load(self.sample_of(pictures, sample_id), watch))
        if packed is None:
            raise InputError(f'{sample_id}: the pipeline of the bundle gave nothing for these pictures')
        return packed

    def sample_of(self, pictures: Mapping[str, Any], sample_id: str) -> dict[str, Any]:
        """Return a sample as the data set would hand it to the pipeline; arguments as for calling."""
        paths = {name: str(value) for name, value in pictures.items() if _is_path(value)}
        arrays = {name: value for name, value in pictures.items() if not _is_path(value)}
        return dict(
            img_paths=paths,
            img_arrays=arrays,
            modalities=self.modalities,
            sample_id=sample_id,
            source_line=sample_id,
            domain='unknown',
            pai='unknown',
            subject='',
            video='',
        )


def _is_path(value: Any) -> bool:
    """Tell a path from a picture in memory."""
    return isinstance(value, str) or hasattr(value, '__fspath__')


def test_pipeline_of(loader: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Find the pipeline in the config of a data loader, through wrappers of data sets.

    Args:
        loader: Config with `dataset`.

    Returns:
        The configs of its transforms.

    Raises:
        ValueError: If there is no pipeline, or wrapped data sets have different ones.
    """
    found = _pipelines(loader.get('dataset') or {})
    if not found:
        raise InputError(
            'the test set of the config has no pipeline: give test_dataloader.dataset a pipeline=[...]'
        )
    if any(pipeline != found[0] for pipeline in found):
        raise InputError(
            'the test sets of the config have different pipelines, but a bundle has one; set test_dataloader to '
            'the data set that deployment resembles'
        )
    return found[0]


test_pipeline_of.__test__ = False  # type: ignore[attr-defined]


def _pipelines(dataset: Any) -> list[list[dict[str, Any]]]:
    """Collect the pipelines of a data set and of those inside it."""
    if isinstance(dataset, list | tuple):
        return [pipeline for part in dataset for pipeline in _pipelines(part)]
    own = [list(dataset['pipeline'])] if dataset.get('pipeline') else []
    return own or [pipeline for key in _INNER if dataset.get(key) for pipeline in _pipelines(dataset[key])]
