"""The shape of every tensor is told: in the docstring, in that of the class, or where the method is declared."""

from __future__ import annotations

import ast
import re
from functools import cache

from style_source import Function, Source, functions, sources

LIBRARY = sources('mmfas')
#: `Tensor`, `np.ndarray` or `Array`, perhaps None; tables of named tensors have no one shape.
TENSOR = re.compile(r'((torch\.)?Tensor|np\.ndarray|Array)( \| None)?')
#: `(B, C)`, `(M, B, *feat)`, `(..., D)`, `(6,)`, or words for what has no fixed one.
SHAPE = re.compile(r'\(\w[\w *+/]*,[^)]*\)|\(\.\.\.,[^)]*\)|any shape|[Ss]calar|[Ss]hape of')
LEAST_FUNCTIONS = 120


def takes_tensors(node: Function) -> bool:
    """Whether an argument of a function is annotated as a tensor or array."""
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return any(a.annotation is not None and TENSOR.fullmatch(ast.unparse(a.annotation)) for a in arguments)


def is_public(name: str) -> bool:
    """Whether every part of a qualified name is public, `__init__` included."""
    return not any(part.startswith('_') and part != '__init__' for part in name.split('.'))


@cache
def classes() -> dict[str, ast.ClassDef]:
    """All classes of the library by name."""
    return {node.name: node for s in LIBRARY for _, node, _ in s.scopes if isinstance(node, ast.ClassDef)}


def docstrings(node: Function, parent: ast.AST) -> list[str]:
    """Docstrings that may describe the arguments: of the function, its class, and the method it overrides."""
    found = [ast.get_docstring(node) or '']
    if isinstance(parent, ast.ClassDef):
        found.append(ast.get_docstring(parent) or '')
        for base in (classes().get(ast.unparse(base).rpartition('.')[2]) for base in parent.bases):
            for inner in base.body if base is not None else ():
                if isinstance(inner, Function) and inner.name == node.name:
                    found += docstrings(inner, base)
    return found


@cache
def takers() -> list[tuple[Source, str, Function, ast.AST]]:
    """Every public function of the library that takes a tensor."""
    return [
        (source, name, node, parent)
        for source in LIBRARY
        for name, node, parent in functions(source)
        if is_public(name) and not isinstance(parent, Function) and takes_tensors(node)
    ]


def test_enough_functions_are_walked() -> None:
    assert len(takers()) >= LEAST_FUNCTIONS


def test_tensors_have_shapes() -> None:
    assert not [
        f'{source.path}: {name}'
        for source, name, node, parent in takers()
        if not any(SHAPE.search(text) for text in docstrings(node, parent))
    ]
