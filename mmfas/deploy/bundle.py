"""A bundle: one record with all that a decision needs, and nothing that runs.

Weights, the model's config, the test pipeline as data, which modalities may be absent, what a score means, the
threshold with its origin, and a golden sample whose scores every machine can check.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmfas.config.lookup import type_name
from mmfas.deploy.decision import DecisionRule
from mmfas.deploy.preprocessing import Preprocessing
from mmfas.deploy.trusted_parts import check_parts, limited_size
from mmfas.models.fas import MultiModalFAS
from mmfas.registry import MODELS, register_all_modules
from mmfas.structures import check_modalities
from mmfas.utils.errors import InputError, UserError
from mmfas.utils.state_dicts import compare_state_dicts

__all__ = ['FORMAT', 'UNUSABLE', 'Bundle', 'BundleError', 'GoldenSample']

#: Version of the record; a reader refuses others.
FORMAT = 1
#: What parts raise that are built or run with values that nobody checked: those of a config from elsewhere.
UNUSABLE = (
    *(ValueError, TypeError, LookupError, AttributeError, AssertionError),
    *(ArithmeticError, RuntimeError, MemoryError),
)


class BundleError(InputError):
    """A bundle that is damaged, was changed, is of another kind, or cannot be used; the message says which."""


@dataclass(frozen=True)
class GoldenSample:
    """A sample whose scores are known.

    Args:
        pictures: Modality -> picture as a camera gives it (H, W, 3) or (H, W), uint8 or uint16.
        present: For each score, which modalities were there: one tuple of names each.
        scores: Liveness in [0, 1] on the machine that made the bundle.
        source: What the sample is.
    """

    pictures: Mapping[str, Tensor]
    present: tuple[tuple[str, ...], ...]
    scores: tuple[float, ...]
    source: str

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the pictures by modality, as the loader takes them."""
        return {m: picture.numpy() for m, picture in self.pictures.items()}


@dataclass(frozen=True)
class Bundle:
    """All that a decision needs.

    Args:
        name: Name of the model.
        model: Config of the model.
        weights: Its state dict, averaged weights resolved.
        modalities: Modalities that the model looks at, canonical order.
        optional: Those of them that may be absent; at least one picture must always be there.
        pipeline: Configs of the transforms of the test pipeline.
        decision: How a score becomes a decision.
        golden: Sample with known scores; None only while a bundle is made.
        crop: How faces are cut out of frames before the pipeline: `margin` and the config of a `detector`; None
            where pictures come cropped. The picture on which the face is searched must be there.
        origin: Where the model comes from: config, checkpoint, data, commit, versions.
        licence: Under what terms weights and data may be used.

    Raises:
        BundleError: If modalities do not fit together, or the face is searched on one that may be absent.
    """

    name: str
    model: Mapping[str, Any]
    weights: Mapping[str, Tensor]
    modalities: tuple[str, ...]
    optional: tuple[str, ...]
    pipeline: Sequence[Mapping[str, Any]]
    decision: DecisionRule
    golden: GoldenSample | None = None
    crop: Mapping[str, Any] | None = None
    origin: Mapping[str, Any] = field(default_factory=dict)
    licence: str = ''

    def __post_init__(self) -> None:
        object.__setattr__(self, 'modalities', check_modalities(self.modalities))
        if not set(self.optional) <= set(self.modalities):
            raise BundleError(
                f'optional modalities {self.optional} must be among those of the model {self.modalities}'
            )
        if self.crop is not None:
            self._check_crop(self.crop.get('detect_on'))

    def _check_crop(self, searched: Any) -> None:
        """Refuse a crop that finds no face because the picture it needs is not, or may not be, there."""
        if searched not in self.used:
            raise BundleError(
                f'the face is searched on {searched}, but the model looks at {", ".join(self.used)}: choose one '
                'of these (--detect-on)'
            )
        if searched in self.optional:
            raise BundleError(
                f'the face is searched on {searched}, so that must be there: leave it out of --optional, or '
                'search on another one (--detect-on)'
            )

    @property
    def unused(self) -> tuple[str, ...]:
        """Modalities that the pipeline takes away, as for a camera without them."""
        steps = [step for step in self.pipeline if type_name(step) == 'FixedMissing']
        flat = {name for step in steps for name in check_modalities(step['missing'])}
        return tuple(m for m in self.modalities if m in flat)

    @property
    def used(self) -> tuple[str, ...]:
        """Modalities that a score can be of."""
        unused = self.unused
        return tuple(m for m in self.modalities if m not in unused)

    @property
    def required(self) -> tuple[str, ...]:
        """Modalities without which nothing is judged."""
        return tuple(m for m in self.used if m not in self.optional)

    def allowed_subsets(self) -> tuple[tuple[str, ...], ...]:
        """List what may be there at once: every subset with all required modalities and one that is used."""
        used = self.used
        choices = product(*[(True, False) if m in self.optional else (True,) for m in used])
        subsets = (tuple(m for m, is_there in zip(used, choice) if is_there) for choice in choices)
        return tuple(subset for subset in subsets if subset)

    def missing(self, pictures: Mapping[str, Any]) -> tuple[str, ...]:
        """Name the modalities that must be there and are not.

        Args:
            pictures: Modality -> anything; `npz` stands for all of them.
        """
        if 'npz' in pictures:
            return ()
        absent = tuple(m for m in self.required if m not in pictures)
        return absent or (() if set(pictures) & set(self.used) else self.used)

    def build_model(self, device: str | torch.device = 'cpu') -> MultiModalFAS:
        """Build the model with its weights, in evaluation mode.

        Args:
            device: Where it shall run.

        Raises:
            BundleError: If the config cannot be built, or the weights do not fit it.
        """
        register_all_modules()
        what = f"the model of bundle '{self.name}'"
        check_parts(self.model, MODELS, what)
        num_values = sum(tensor.numel() for tensor in self.weights.values())
        try:
            with limited_size(num_values, what):
                model = MODELS.build(dict(self.model))
        except UserError:
            raise
        except UNUSABLE as error:
            raise BundleError(f"the model of bundle '{self.name}' cannot be built: {error}") from error
        if tuple(getattr(model, 'modalities', ())) != self.modalities:
            raise BundleError(
                f"bundle '{self.name}' is mislabelled: it names {self.modalities}, but its model is a "
                f'{type(model).__name__} of {getattr(model, "modalities", "something else")}'
            )
        misfit = compare_state_dicts(self.weights, model.state_dict())
        if misfit:
            raise BundleError(f"the weights of bundle '{self.name}' do not fit its config; {misfit}")
        model.load_state_dict(dict(self.weights))
        return model.to(device).eval()

    def preprocessing(self) -> Preprocessing:
        """Return the test pipeline.

        Raises:
            BundleError: If it cannot be built.
        """
        try:
            return Preprocessing(self.pipeline, self.modalities)
        except UserError:
            raise
        except UNUSABLE as error:
            raise BundleError(f"the pipeline of bundle '{self.name}' cannot be built: {error}") from error

    def record(self) -> dict[str, Any]:
        """Return everything but tensors as plain values."""
        golden = None
        if self.golden is not None:
            golden = dict(
                present=self.golden.present,
                scores=self.golden.scores,
                source=self.golden.source,
                modalities=sorted(self.golden.pictures),
            )
        return dict(
            format=FORMAT,
            name=self.name,
            model=self.model,
            modalities=self.modalities,
            optional=self.optional,
            pipeline=self.pipeline,
            decision=self.decision.to_dict(),
            golden=golden,
            crop=self.crop,
            origin=self.origin,
            licence=self.licence,
        )

    def tensors(self) -> dict[str, Tensor]:
        """Return all tensors: `model.<name>` and `golden.<modality>`."""
        found = {f'model.{name}': value for name, value in self.weights.items()}
        pictures = {} if self.golden is None else self.golden.pictures
        return {**found, **{f'golden.{m}': value for m, value in pictures.items()}}

    @cached_property
    def sha256(self) -> str:
        """SHA-256 over record and tensors, the same in every file format."""
        return digest_of(json_of(self.record()), self.tensors())


def json_of(record: Mapping[str, Any]) -> str:
    """Return a record as text that is the same on every machine.

    Args:
        record: Plain values.

    Raises:
        BundleError: If a value is not plain, or not finite.
    """
    try:
        return json.dumps(record, sort_keys=True, allow_nan=False, separators=(',', ':'))
    except (TypeError, ValueError) as error:
        raise BundleError(f'a bundle holds plain values only: {error}') from error


def digest_of(record: str, tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 over a record and tensors.

    Args:
        record: Text of `json_of`.
        tensors: Name -> dense tensor.
    """
    digest = hashlib.sha256(record.encode())
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        digest.update(f'\n{name} {value.dtype} {tuple(value.shape)}\n'.encode())
        content: Any = value.reshape(-1).view(torch.uint8).numpy()  # read in place, without a copy
        digest.update(content)
    return digest.hexdigest()
