"""The syntax trees that the style tests walk."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TypeAlias

REPO = Path(__file__).resolve().parents[2]
Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Source:
    """One Python file: path below the repository, text and tree, which is parsed when it is first asked for."""

    path: Path
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """Syntax tree of the text."""
        return ast.parse(self.text)

    @cached_property
    def scopes(self) -> list[tuple[str, ast.AST, ast.AST]]:
        """(Qualified name, node, parent) of every class and function."""
        return list(scopes(self.tree))

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """All nodes of the tree."""
        return list(ast.walk(self.tree))

    @property
    def module(self) -> str:
        """Dotted name of the module."""
        name = '.'.join(self.path.with_suffix('').parts)
        return name.removesuffix('.__init__')


def sources(*roots: str) -> tuple[Source, ...]:
    """Read every Python file below folders of the repository, links left out."""
    return tuple(source for root in roots for source in _below(root))


@cache
def _below(root: str) -> list[Source]:
    """Read the files of one folder, of which all tests share the trees."""
    paths = [path for path in sorted((REPO / root).rglob('*.py')) if '.mim' not in path.parts]
    return [Source(path.relative_to(REPO), path.read_text(encoding='utf-8')) for path in paths]


def scopes(tree: ast.AST, prefix: str = '') -> Iterator[tuple[str, ast.AST, ast.AST]]:
    """Yield (qualified name, node, parent) of every class and function in a tree."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef | Function):
            name = f'{prefix}{node.name}'
            yield name, node, tree
            yield from scopes(node, f'{name}.')
        else:
            yield from scopes(node, prefix)


def functions(source: Source) -> Iterator[tuple[str, Function, ast.AST]]:
    """Yield (qualified name, node, parent) of every function."""
    for name, node, parent in source.scopes:
        if isinstance(node, Function):
            yield name, node, parent


def body_lines(function: Function) -> int:
    """Count the lines of a function without its decorators and docstring."""
    lines = function.end_lineno - function.lineno + 1
    first = function.body[0]
    if (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    ):
        lines -= first.end_lineno - first.lineno + 1
    return lines


@cache
def imported_modules(source: Source, *, at_import_only: bool = False) -> set[str]:
    """Names of the mmfas modules and packages that a file imports.

    `at_import_only` leaves out imports inside functions and below `if TYPE_CHECKING:`.
    """
    found: set[str] = set()
    stack: list[ast.AST] = [source.tree]
    while stack:
        node = stack.pop()
        if at_import_only and (isinstance(node, Function) or _is_type_checking(node)):
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found |= {_target(node.module, alias.name) for alias in node.names}
        stack += ast.iter_child_nodes(node)
    return {name for name in found if name.partition('.')[0] == 'mmfas'}


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == 'TYPE_CHECKING'


def _target(module: str, name: str) -> str:
    """`from module import name` imports a submodule if there is one, else the module."""
    folder = REPO.joinpath(*module.split('.'))
    is_module = (folder / f'{name}.py').is_file() or (folder / name / '__init__.py').is_file()
    return f'{module}.{name}' if is_module else module
