"""Contracts of every registered trunk, neck and head: a new part is tested by being registered."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from mmengine.config import Config
from torch import nn

from contracts.cases import (
    PARTS,
    SLOTS,
    SUBSETS,
    build_model,
    loss_of,
    make_batch,
    model_cfg,
    perturb,
    presence,
    scores,
)
from mmfas.models import MultiModalFAS
from mmfas.registry import MODELS
from mmfas.structures import MODALITIES

#: Declared exceptions to "gradient reaches every trainable parameter": (part, parameter) -> reason.
NO_GRADIENT: dict[tuple[str, str], str] = {}
#: How many parts there were when this list was last looked at; raise it when a part is added.
NUM_PARTS = 16

pytestmark = pytest.mark.engine
each_part = pytest.mark.parametrize(('slot', 'name'), PARTS, ids=[f'{s}-{n}' for s, n in PARTS])


def fused(model: MultiModalFAS, batch: dict) -> object:
    return model.extract_feat(model.data_preprocessor(batch, False)['inputs'])


def test_all_parts_are_found() -> None:
    found = {slot: [n for s, n in PARTS if s == slot] for slot in SLOTS}
    assert len(PARTS) >= NUM_PARTS and all(found.values()), found
    assert len(NO_GRADIENT) == 0


@each_part
def test_config_to_object_to_config(slot: str, name: str) -> None:
    cfg = model_cfg(**{slot: name})
    text = cfg.pretty_text
    model = MODELS.build(cfg.model)
    assert type(getattr(model, slot)).__name__ == name
    assert cfg.pretty_text == text, 'building changed the config'
    again = Config.fromstring(text, '.py')
    assert again.pretty_text == text
    assert list(MODELS.build(again.model).state_dict()) == list(model.state_dict())


@each_part
def test_shapes(slot: str, name: str) -> None:
    model, batch = build_model(**{slot: name}), make_batch(5, present=presence(5, 0))
    spec, features = model.neck.feature_spec, fused(model, batch)
    assert features.fused.shape == (5, spec.fused_dims)
    if spec.modality_dims is None:
        assert features.per_modality is None
    else:
        assert features.per_modality.shape == (3, 5, spec.modality_dims)
    assert features.confidence is None or features.confidence.shape == (3, 5)
    assert model.head(features).shape == (5, 2)
    assert all(value.dim() == 0 for value in features.aux_losses.values())


@each_part
def test_streams_have_the_declared_shape(slot: str, name: str) -> None:
    trunk = build_model(**{slot: name}).trunk.train(False)
    streams = trunk.embed(torch.randn(3, 2, 3, 32, 32))
    assert len(trunk.blocks) == trunk.num_blocks == trunk.spec.num_blocks
    for block in trunk.blocks:
        streams = block(streams)
        assert streams.shape[:2] == (3, 2)
    if trunk.has_tokens:
        rows, columns = trunk.grid((32, 32))
        assert streams.shape[2:] == (rows * columns + trunk.num_prefix, trunk.token_dims)
    assert trunk.readout(streams).shape == (3, 2, trunk.embed_dims)


@each_part
def test_gradient_reaches_every_parameter(slot: str, name: str) -> None:
    model = perturb(build_model(**{slot: name}))
    reached: set[str] = set()
    for step in range(3):
        for subset in SUBSETS:
            mask = torch.tensor([[m in subset for m in MODALITIES]]).repeat(4, 1)
            model.zero_grad()
            loss_of(model, make_batch(4, seed=step, present=mask)).backward()
            reached |= {n for n, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    trainable = {n for n, p in model.named_parameters() if p.requires_grad}
    excused = {n for part, n in NO_GRADIENT if part == name}
    assert trainable - reached == excused


@each_part
def test_any_modalities_and_any_pattern(slot: str, name: str) -> None:
    for subset in SUBSETS:
        try:
            model = build_model(subset, **{slot: name})
        except ValueError as error:
            assert name in str(error) and len(subset) < model_minimum(slot, name)
            continue
        value = loss_of(model, make_batch(4))
        assert torch.isfinite(value)
    model = build_model(**{slot: name})
    assert torch.isfinite(scores(model, make_batch(7, present=presence(7, 0)))).all()


def model_minimum(slot: str, name: str) -> int:
    return getattr(SLOTS[slot].get(name), 'min_modalities', 1)


@each_part
def test_absent_images_are_never_looked_at(slot: str, name: str) -> None:
    model = perturb(build_model(**{slot: name})).double()
    present = presence(7, 0)
    data = model.data_preprocessor(make_batch(7, present=present), False)
    poisoned = dict(data['inputs'])
    for i, m in enumerate(MODALITIES):
        poisoned[m] = torch.where(present[:, i, None, None, None], poisoned[m], 3 * torch.randn_like(poisoned[m]))
    model.eval()
    with torch.no_grad():
        torch.testing.assert_close(model(poisoned), model(data['inputs']), rtol=0, atol=1e-9)


@each_part
def test_state_dict_copy_and_pickle(slot: str, name: str) -> None:
    model, other = perturb(build_model(**{slot: name})), build_model(seed=5, **{slot: name})
    batch = make_batch(3)
    loss_of(model, batch)  # moves running statistics
    other.load_state_dict(model.state_dict())
    expected = scores(model, batch)
    for twin in (other, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(scores(twin, batch), expected)
    tensors = {id(p) for p in model.parameters()}
    assert len(tensors) == len(list(model.named_parameters(remove_duplicate=False)))


@each_part
def test_deterministic_under_seed(slot: str, name: str) -> None:
    batch, values = make_batch(4, present=presence(4, 0)), []
    for _ in range(2):
        model = build_model(seed=3, **{slot: name})
        values.append((loss_of(model, batch).detach(), scores(model, batch)))
    assert torch.equal(values[0][0], values[1][0]) and torch.equal(values[0][1], values[1][1])
    assert torch.equal(scores(model, batch), values[1][1])


@each_part
def test_owned_parameters_are_slices_of_the_model(slot: str, name: str) -> None:
    model = build_model(**{slot: name})
    inside = {id(p) for p in model.parameters()}
    seen: set[tuple] = set()
    for modality, owned in model.modality_parameters().items():
        assert modality in MODALITIES
        for entry in owned:
            parameter, index = entry if isinstance(entry, tuple) else (entry, ())
            assert isinstance(parameter, nn.Parameter) and id(parameter) in inside
            assert parameter[index].numel() > 0
            assert (id(parameter), str(index)) not in seen
            seen.add((id(parameter), str(index)))
