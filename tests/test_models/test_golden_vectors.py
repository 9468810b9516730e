"""Sketches of published arrays: what is equal passes, and a change of any one entry is noticed."""

from __future__ import annotations

import re

import pytest
import torch
from golden_vectors import GOLDEN, PER_SUM, Sketch, assert_near, golden, largest
from torch import Tensor

SHAPE = (7, 11, 13)


def array() -> Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))


def test_an_array_is_near_its_sketch_and_rounding_does_not_matter() -> None:
    sketch = Sketch.of('grad_in.x', array())
    assert sketch.largest == largest(array()) and len(sketch.kept) == 1 + 256 + -(-array().numel() // PER_SUM)
    assert_near(array(), sketch)
    assert_near(array() * (1 + 3e-7 * torch.rand(SHAPE, generator=torch.Generator().manual_seed(1))), sketch)
    assert_near(torch.stack([array(), array()]), [sketch, sketch])


def test_a_change_of_any_one_entry_is_noticed() -> None:
    """What is below twice the tolerance may be hidden by the tolerance itself; above, a sum shows it."""
    sketch, given = Sketch.of('grad_in.x', array()), array()
    change = 2.1e-5 * sketch.largest
    for place in range(given.numel()):
        given.view(-1)[place] += change
        assert sketch.difference(given).abs().max() > 1e-5 * sketch.largest, place
        given.view(-1)[place] -= change


@pytest.mark.parametrize('wrong', ['order', 'sign', 'scale', 'shape', 'stack'])
def test_arrays_of_the_same_numbers_are_noticed(wrong: str) -> None:
    sketch, given = Sketch.of('grad_in.x', array()), array()
    changed = dict(
        order=given.flatten().roll(1).view(SHAPE),
        sign=given * torch.where(torch.arange(7) == 3, -1, 1)[:, None, None],
        scale=given * (1 + 1e-4),
        shape=given.flatten(0, 1),
        stack=torch.stack([given, given.flip(0)]),
    )[wrong]
    with pytest.raises(AssertionError):
        assert_near(changed, [sketch, sketch] if wrong == 'stack' else sketch)


def test_what_goes_into_the_released_modules_is_whole() -> None:
    files = {path: golden(path.name.partition('.')[0]) for path in GOLDEN.glob('*.npz.xz')}
    sketches = [key for data in files.values() for key, value in data.items() if isinstance(value, Sketch)]
    assert len(sketches) > 60
    assert not [key for key in sketches if re.search(r'(^|\.)(param|in|cotangent|buffer)\.', key)]
