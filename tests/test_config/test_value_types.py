"""Values are held against simple annotations, and against nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Optional, Union

import pytest
import torch
from mmengine.optim import CosineAnnealingLR
from torch import Tensor, nn

from mmfas.config.value_types import fits, value_problems
from mmfas.registry import PART_REGISTRIES, Registry, load_plugins

if TYPE_CHECKING:
    from nowhere import Unknown

pytestmark = pytest.mark.engine


@pytest.mark.parametrize(
    ('hint', 'good', 'bad'),
    [
        (int, [0, -3], ['3', 1.5, True, None, [1], {}]),
        (float, [1, 0.5], ['1', True, None, (0.5,)]),
        (bool, [True], [1, 'yes', None]),
        (str, ['', 'a'], [1, None, ['a']]),
        (Optional[int], [None, 2], ['a']),  # noqa: UP045
        (Union[int, str], [2, 'a'], [None]),  # noqa: UP007
        (int | None, [None, 2], ['a']),
        (Sequence[str], [['a'], ('a',), 'a', []], [[1], 3]),
        (list[str], [['a'], ('a',)], ['a', [1]]),
        (tuple[float, ...], [[1, 2, 3], ()], ['ab', [None], 0.5]),
        (tuple[float, float], [(0.9, 1)], [(0.9,), (0.9, 'a'), 0.9]),
        (tuple[int], [(1, 2, 3)], [('a',)]),
        (tuple, [(1, 'a')], ['a', 1]),
        (Sequence, ['a', [1]], [1]),
        (dict, [{}, {'a': 1}], ['a', 1]),
        (Mapping[str, float], [{'a': 1}], [{'a': 'b'}, 'a']),
        (nn.Module, [{'type': 'A'}], ['A', 1, None]),
        (Tensor | float, [1], ['a']),
        (Any, [1, 'a', None], []),
        (Callable[..., int], ['a', {}], []),
        (Literal['a'], ['b'], []),
        (Path | None, ['a', 3], []),
        (list[Literal['a']], [['b']], ['b']),
    ],
    ids=str,
)
def test_fits(hint: Any, good: list[Any], bad: list[Any]) -> None:
    assert [fits(value, hint) for value in good] == [True] * len(good)
    assert [fits(value, hint) for value in bad] == [False] * len(bad)


def test_objects_are_never_judged() -> None:
    assert fits(nn.Identity(), int)
    assert fits(torch.zeros(1), str)


class Ours:
    def __init__(
        self,
        dim: int,
        scale: float | None = None,
        *,
        part: nn.Module | Mapping[str, Any] = nn.ReLU,  # type: ignore[assignment]
        sizes: tuple[int, ...] = None,  # type: ignore[assignment]  # noqa: RUF013
        unknown: Unknown = None,
        anything: Any = 3,
    ) -> None: ...


def _as_part_of(package: str, monkeypatch: pytest.MonkeyPatch) -> type:
    monkeypatch.setattr(Ours.__init__, '__module__', f'{package}.somewhere')
    return Ours


def test_problems_name_place_and_what_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    given = dict(dim='4', scale='a', part='ReLU', sizes=[1, 'b'], unknown='x', anything='y', more='z')
    assert value_problems(_as_part_of('mmfas', monkeypatch), given, path='model.neck') == {
        'dim': "model.neck.dim: must be an integer, got '4'",
        'scale': "model.neck.scale: must be a number or None, got 'a'",
        'part': "model.neck.part: must be a dict, got 'ReLU'",
        'sizes': "model.neck.sizes: must be a list of integers, got [1, 'b']",
    }
    assert value_problems(Ours, dict(dim=1, scale=2, part={}, sizes=None), path='a') == {}
    assert value_problems(Ours, dict(dim=None), path='') == {'dim': 'dim: must be an integer, got None'}


def test_foreign_annotations_are_trusted_about_strings_only(monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = _as_part_of('elsewhere', monkeypatch)
    assert value_problems(foreign, dict(dim=[4], scale=(1, 2), part=3, sizes=1), path='a') == {}
    assert list(value_problems(foreign, dict(dim='4', scale=0.1, sizes='x'), path='a')) == ['dim', 'sizes']


def test_rates_without_annotation_must_be_numbers() -> None:
    class Bare(torch.optim.Optimizer):
        def __init__(self, params: Any, lr: Any = 0.1, flag: Any = False, name: Any = 'a') -> None:
            super().__init__(params, {})

    Bare.__init__.__annotations__.clear()
    assert list(value_problems(Bare, dict(lr='abc', flag='b', name='c'), path='o')) == ['lr']
    assert value_problems(Bare, dict(lr=1), path='o') == {}
    assert list(value_problems(torch.optim.AdamW, dict(lr='abc', betas=(0.9, 1)), path='o')) == ['lr']
    assert list(value_problems(CosineAnnealingLR, dict(T_max='a', eta_min=0), path='s')) == ['T_max']


def test_no_example_of_a_part_is_doubted() -> None:
    """Every registered part of mmfas with an example config: its annotations say what it takes."""
    load_plugins()
    checked = 0
    for registry in PART_REGISTRIES.values():
        if isinstance(registry, Registry):
            registry.import_from_location()
        for part in registry.module_dict.values():
            if hasattr(part, 'example_cfg'):
                assert value_problems(part, part.example_cfg(), path=part.__name__) == {}
                checked += 1
    assert checked >= 25
