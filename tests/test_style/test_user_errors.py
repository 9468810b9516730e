"""What the library raises for users has a class that says so; a bare builtin is a bug with a traceback."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator

from style_source import Source, sources

SOURCES = [source for source in sources('mmfas', 'projects') if 'tests' not in source.path.parts]
HOME = 'mmfas.utils.errors'
#: Not for users: what is not there yet, and what can never be.
FOR_PROGRAMMERS = {'NotImplementedError', 'AssertionError', 'StopIteration', 'SystemExit', 'KeyboardInterrupt'}
#: Errors of the system, with number and file; commands have sentences for them.
OF_THE_SYSTEM = {'IsADirectoryError', 'NotADirectoryError', 'FileExistsError', 'PermissionError'}
#: Functions whose callers in Python itself expect exactly the builtin.
PROTOCOLS = {'__getattr__', '__missing__'}


def is_builtin_error(node: ast.AST | None) -> bool:
    """Whether an expression names a builtin exception that is not allowed to be raised bare."""
    if not isinstance(node, ast.Name) or node.id in FOR_PROGRAMMERS | OF_THE_SYSTEM:
        return False
    known = getattr(builtins, node.id, None)
    return isinstance(known, type) and issubclass(known, BaseException)


def bare_raises(source: Source) -> Iterator[str]:
    """Yield the places where a builtin is raised."""

    def visit(node: ast.AST, function: str) -> Iterator[str]:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            function = node.name
        if isinstance(node, ast.Raise) and function not in PROTOCOLS:
            made = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            is_remade = isinstance(made, ast.Call) and isinstance(made.func, ast.Name) and made.func.id == 'type'
            if is_builtin_error(made) or is_remade:
                yield f'{source.path}:{node.lineno}: {ast.unparse(node)[:80]}'
        for child in ast.iter_child_nodes(node):
            yield from visit(child, function)

    yield from visit(source.tree, '')


def test_bare_raises_are_found() -> None:
    text = 'def f():\n    raise ValueError("x")\ndef __getattr__(name):\n    raise AttributeError(name)\n'
    assert len(list(bare_raises(Source(SOURCES[0].path, text)))) == 1


def test_errors_for_users_have_a_class() -> None:
    assert not [place for source in SOURCES for place in bare_raises(source)]


def test_error_classes_derive_from_those_for_users() -> None:
    assert not [
        f'{source.path}: {node.name}'
        for source in SOURCES
        if source.module != HOME
        for node in source.nodes
        if isinstance(node, ast.ClassDef) and any(is_builtin_error(base) for base in node.bases)
    ]
