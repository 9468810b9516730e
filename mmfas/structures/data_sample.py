"""One face presentation: what the data set knows of it and what the model says."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor

from mmfas.structures.modality import LIVE, MODALITIES, SPOOF
from mmfas.utils.errors import InputError


class FASDataSample(BaseDataElement):
    """Labels, presence, provenance and prediction of one sample.

    Meta information (strings set with `set_metainfo`): `sample_id`, `domain`, `pai` (`'live'` for a bona fide
    presentation), `subject`, `video`, `img_paths`, `source_line`.

    >>> sample = FASDataSample(metainfo=dict(sample_id='a.png', domain='W', pai='print'))
    >>> sample.gt_label, sample.pred_score = 0, 0.25
    >>> sample.gt_label, sample.pred_score, sample.pai
    (0, 0.25, 'print')
    """

    @property
    def gt_label(self) -> int:
        """Ground truth: 1 live (bona fide), 0 spoof (attack presentation)."""
        return self._gt_label

    @gt_label.setter
    def gt_label(self, value: int) -> None:
        if value not in (LIVE, SPOOF):
            raise InputError(f'gt_label must be {LIVE} (live) or {SPOOF} (spoof), but got {value!r}')
        self.set_field(int(value), '_gt_label', dtype=int)

    @property
    def present(self) -> Tensor:
        """Boolean tensor (3,) over `MODALITIES`: which modalities this sample really has."""
        return self._present

    @present.setter
    def present(self, value: Tensor) -> None:
        value = torch.as_tensor(value, dtype=torch.bool)
        if value.shape != (len(MODALITIES),):
            raise InputError(
                f'present must have shape ({len(MODALITIES)},) over {MODALITIES}, got {tuple(value.shape)}'
            )
        self.set_field(value, '_present', dtype=Tensor)

    @property
    def pred_score(self) -> float:
        """Liveness in [0, 1], higher means live: `softmax(logits)[1]`."""
        return self._pred_score

    @pred_score.setter
    def pred_score(self, value: float) -> None:
        self.set_field(float(value), '_pred_score', dtype=float)

    @property
    def pred_logits(self) -> Tensor:
        """Joint logits (2,) in the order spoof, live."""
        return self._pred_logits

    @pred_logits.setter
    def pred_logits(self, value: Tensor) -> None:
        self.set_field(value, '_pred_logits', dtype=Tensor)


def domain_code(name: str) -> int:
    """Map a domain name to a number that is the same in every process and run.

    Args:
        name: Domain name such as `'W'`.

    Returns:
        A number in [0, 2**32); equal names give equal numbers. Not an index: use it to compare domains.

    >>> domain_code('W') == domain_code('W') != domain_code('C')
    True
    """
    return zlib.crc32(name.encode())


def targets_of(data_samples: Sequence[FASDataSample], device: torch.device) -> Tensor:
    """Collect the labels (B,) of the samples, 1 live and 0 spoof."""
    return _on_device([sample.gt_label for sample in data_samples], device)


def domain_codes_of(data_samples: Sequence[FASDataSample], device: torch.device) -> Tensor | None:
    """Collect the domain codes (B,) of the samples, or None if one has no domain."""
    names = [sample.get('domain') for sample in data_samples]
    if any(name is None for name in names):
        return None
    return _on_device([domain_code(name) for name in names], device)


def _on_device(numbers: list[int], device: torch.device) -> Tensor:
    """Copy numbers to a device; given a device, `torch.tensor` would wait for all that it has still to do."""
    return torch.tensor(numbers).to(device, non_blocking=True)
