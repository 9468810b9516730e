"""What the sections run: methods by their configs, and a batch for each of them.

Legend: M modalities, B batch, V views.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from mmengine.optim import OptimWrapper, build_optim_wrapper
from torch import Tensor

from mmfas.analysis.complexity import example_inputs, example_samples, image_size_of
from mmfas.apis.building import build_model
from mmfas.config.reading import read_config
from mmfas.registry import GRADIENT_MODULATORS
from mmfas.structures import MODALITIES, FASDataSample

if TYPE_CHECKING:
    from mmengine.config import Config

    from mmfas.analysis.gpu.section import Section
    from mmfas.models.fas import MultiModalFAS

#: ViT-B/16 at 224 pixels, as published: name -> config. BIG-MoE runs one joint sequence.
LARGE = {
    'concat': 'baselines/concat_vit-b16_1xb32-100e_cpsw-cps2w.py',
    'mmdg': 'mmdg/mmdg_vit-b16_1xb32-100e_cpsw-cps2w.py',
    'big-moe': 'big_moe/big-moe_vit-b16_1xb32-100e_cpsw-cps2w.py',
    'mmda': 'mmda/mmda_clip-vit-b16_1xb32-100e_cpsw-cps2w.py',
    'dadm': 'dadm/dadm_vit-b16_1xb32-100e_cpsw-cps2w.py',
}
_SMALL_SUFFIX = '_mini-vit_1xb32-12e_synthfas-cps2w'
#: One block of the small transformer: the same code in a fraction of the time.
_TINY = {'model.trunk.vit.arch.num_layers': 1}
_REGRAD = dict(type='GradientModulationOptimWrapper', modulator=dict(type='ReGrad'))


@dataclass(frozen=True)
class Method:
    """A method to run.

    Args:
        name: Short name.
        config: Its config.
        options: Values by dotted key that change the config.
    """

    name: str
    config: Path
    options: Mapping[str, Any] = field(default_factory=dict)

    def read(self) -> Config:
        """Read the config."""
        return read_config(str(self.config), self.options)


def small_methods(configs: Path, *, is_tiny: bool = False) -> list[Method]:
    """List every method on the small transformer, each in its default form.

    Args:
        configs: Folder of the configs.
        is_tiny: Give it one block only.
    """
    found = sorted(configs.glob(f'*/*{_SMALL_SUFFIX}.py'))
    options = _TINY if is_tiny else {}
    return [Method(path.stem.removesuffix(_SMALL_SUFFIX), path, options) for path in found]


def large_methods(configs: Path, *, is_tiny: bool = False) -> list[Method]:
    """List the methods on ViT-B/16, most valuable first; their small forms if tiny.

    Args:
        configs: Folder of the configs.
        is_tiny: Take the small transformer with one block instead.
    """
    if is_tiny:
        small = {method.name: method for method in small_methods(configs, is_tiny=True)}
        return [small[name] for name in LARGE]
    return [Method(name, configs / path) for name, path in LARGE.items()]


def build_large(method: Method, device: torch.device) -> tuple[MultiModalFAS, Config]:
    """Build a model with random weights on a device; files of weights are not read.

    Args:
        method: The method.
        device: Where to.

    Returns:
        The model in evaluation mode, and its config.
    """
    cfg = method.read()
    torch.manual_seed(0)
    return build_model(cfg).to(device), cfg


def compiled(model: MultiModalFAS, section: Section) -> MultiModalFAS:
    """Compile trunk and neck of a model in place; at tiny sizes torch is asked to leave them as they are.

    Args:
        model: The model.
        section: Where it will run.

    Returns:
        The same model.
    """
    model.extract_feat = torch.compile(  # type: ignore[method-assign]
        model.extract_feat, dynamic=False, disable=section.is_tiny
    )
    return model


def with_modality_losses(cfg: Config) -> Config:
    """Give the head of a config losses per modality where it can have them, so that gradient rules have work.

    Args:
        cfg: Config, changed in place.
    """
    head = cfg.model.head
    if head.type == 'LinearFASHead':
        head.setdefault('modality_loss_weight', 0.3)
    elif head.type in ('PrototypeHead', 'HyperplaneHead'):
        head.setdefault('prototype_weight', 0.3)
    return cfg


def regrad_or_plain(cfg: Config, model: MultiModalFAS) -> dict[str, Any]:
    """Return an optimizer wrapper with plain SGD, whose step shows the gradients as they are.

    Args:
        cfg: Config; a rule with arguments of its own is kept.
        model: The model.

    Returns:
        A config: with ReGrad where it can act in this model, else without a rule.
    """
    given = cfg.optim_wrapper
    rule: dict[str, Any] = (
        dict(_REGRAD) if not given.get('modulator') else dict(type=given.type, modulator=given.modulator)
    )
    modulator = GRADIENT_MODULATORS.build(dict(rule['modulator']))
    if modulator.refusal(model.modality_offer()) is not None:
        rule = dict(type='OptimWrapper')
    return dict(rule, optimizer=dict(type='SGD', lr=0.1))


def build_wrapper(model: MultiModalFAS, cfg: Mapping[str, Any], *, clips: bool = True) -> OptimWrapper:
    """Build the optimizer wrapper of a config for a model.

    Args:
        model: The model.
        cfg: The config of the wrapper.
        clips: Clip gradients as the config says. mmengine reads the norm on the host in every step.
    """
    kept = {key: value for key, value in cfg.items() if clips or key != 'clip_grad'}
    return build_optim_wrapper(model, kept)


@dataclass(frozen=True)
class Batch:
    """A batch of noise as the data preprocessor hands it over, everything present.

    Args:
        inputs: Modality -> images (B, 3, H, W); `present` -> boolean mask (B, M).
        samples: Labelled samples, B of them.
        views: Further views (V*B rows) for a head that needs them, else None.
    """

    inputs: dict[str, Tensor]
    samples: list[FASDataSample]
    views: dict[str, Tensor] | None = None

    @classmethod
    def of(cls, model: MultiModalFAS, batch_size: int) -> Batch:
        """Draw a batch for a model, in its type and on its device.

        Args:
            model: The model.
            batch_size: Number B of samples.
        """
        dtype, size = next(model.parameters()).dtype, image_size_of(model)

        def draw(num: int, seed: int) -> dict[str, Tensor]:
            drawn = example_inputs(model, num, size=size, seed=seed)
            return {name: x.to(dtype) if x.is_floating_point() else x for name, x in drawn.items()}

        views = draw(2 * batch_size, 1) if model.head.needs_views else None
        return cls(draw(batch_size, 0), example_samples(batch_size), views)

    def __len__(self) -> int:
        return len(self.samples)

    def loss_terms(self, model: torch.nn.Module) -> Any:
        """Compute the losses of the batch, kept apart."""
        views = {} if self.views is None else {'inputs_view': self.views}
        return model(self.inputs, self.samples, mode='loss_terms', **views)


def host_batch(model: MultiModalFAS, batch_size: int, *, pinned: bool) -> dict[str, Any]:
    """Draw a batch as a data loader hands it over: pictures in the memory of the host.

    Args:
        model: The model.
        batch_size: Number of samples B.
        pinned: Whether the memory is pinned, as `pin_memory=True` of a loader does it.

    Returns:
        `inputs` and, where the head needs views, `inputs_view`, modality -> uint8 images; `data_samples`.
    """
    size, generator = image_size_of(model), torch.Generator().manual_seed(0)

    def draw(*shape: int) -> dict[str, Tensor]:
        pictures = {
            m: torch.randint(0, 256, (*shape, 3, *size), dtype=torch.uint8, generator=generator)
            for m in model.modalities
        }
        return {m: x.pin_memory() for m, x in pictures.items()} if pinned else pictures

    samples = example_samples(batch_size)
    for sample in samples:
        sample.present = torch.ones(len(MODALITIES), dtype=torch.bool)
    views = {'inputs_view': draw(batch_size, 2)} if model.head.needs_views else {}
    return {'inputs': draw(batch_size), 'data_samples': samples, **views}
