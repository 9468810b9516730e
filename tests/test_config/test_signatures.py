"""Signatures are read through forwarded `**kwargs`, and no further."""

from __future__ import annotations

from typing import Any

import pytest

from mmfas.config.signatures import Arguments, arguments_of, binding_problems, near_match


class Base:
    def __init__(self, dim: int, scale: float = 1.0) -> None:
        self.dim, self.scale = dim, scale


class Forwards(Base):
    def __init__(self, heads: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)


class FillsIn(Base):
    def __init__(self, heads: int = 1, **kwargs: Any) -> None:
        super().__init__(4, **kwargs)


class FillsInByName(Base):
    def __init__(self, **kwargs: Any) -> None:
        Base.__init__(self, dim=3, **kwargs)


class Picks(Base):
    def __init__(self, **kwargs: Any) -> None:
        self.extra = kwargs.pop('extra', None)
        kwargs['dim'] = 3
        super().__init__(**kwargs)


class Keeps:
    def __init__(self, name: str, **kwargs: Any) -> None:
        self.kwargs = kwargs


class Inherits(Forwards):
    pass


@pytest.mark.parametrize(
    ('part', 'names', 'required'),
    [
        (Base, {'dim', 'scale'}, {'dim'}),
        (Forwards, {'heads', 'dim', 'scale'}, {'heads', 'dim'}),
        (Inherits, {'heads', 'dim', 'scale'}, {'heads', 'dim'}),
        (FillsIn, {'heads', 'scale'}, set()),
        (FillsInByName, {'scale'}, set()),
        (Picks, {'extra', 'dim', 'scale'}, set()),
        (near_match, {'name', 'known', 'cutoff'}, {'name', 'known'}),
    ],
)
def test_arguments(part: Any, names: set[str], required: set[str]) -> None:
    assert arguments_of(part) == Arguments(frozenset(names), frozenset(required))


def test_kwargs_that_go_elsewhere_leave_the_signature_open() -> None:
    assert arguments_of(Keeps) == Arguments(frozenset({'name'}), frozenset({'name'}), is_open=True)
    assert binding_problems(Keeps, ['name', 'anything'], path='x') == []


def test_problems_name_place_part_and_remedy() -> None:
    problems = binding_problems(Base, ['dims', 'colour'], path='model.neck')
    assert problems == [
        'model.neck.dims: unexpected, did you mean dim?',
        'model.neck.colour: unexpected, Base takes dim, scale',
    ]
    assert binding_problems(Base, ['scale'], path='a') == ['a.dim: missing, Base needs it']
    assert binding_problems(Base, ['scale'], path='a', injected=('dim',)) == []


def test_near_match_needs_likeness() -> None:
    assert near_match('modle', ['model', 'data']) == 'model'
    assert near_match('xyz', ['model']) is None
