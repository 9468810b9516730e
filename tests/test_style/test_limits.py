"""Limits on size, annotations, docstrings and arguments; see docs/en/contribute.md."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest
from style_source import REPO, Function, Source, body_lines, functions, sources

LIBRARY = sources('mmfas')
EVERYTHING = sources('mmfas', 'tools', 'tests', 'projects', 'configs', 'docs')
MOST_FILE_LINES = 400
MOST_FUNCTION_LINES = 50
MOST_ARGUMENTS = 10
MOST_POSITIONAL = 2

#: Registered parts whose arguments mirror a framework's signature or are keys of configs, with the reason.
MANY_ARGUMENTS: dict[str, str] = {
    'FASMetric': 'keys of configs, three of them of BaseMetric: what to judge, by what rules, from which files',
}
#: Parts whose first arguments are positional because users of the framework pass them so, with the reason.
MANY_POSITIONAL: dict[str, str] = {}


def names(found: Iterator[str]) -> list[str]:
    """Collect findings, so that a failing test lists all of them."""
    return sorted(found)


def is_public(name: str) -> bool:
    """Whether every part of a qualified name is public."""
    return not any(part.startswith('_') for part in name.split('.'))


def test_enough_files_are_walked() -> None:
    assert len(LIBRARY) > 50
    assert len(EVERYTHING) > len(LIBRARY) + 20


def test_files_are_short() -> None:
    assert not [str(s.path) for s in EVERYTHING if len(s.text.splitlines()) > MOST_FILE_LINES]


def test_functions_are_short() -> None:
    assert not [
        f'{s.path}: {name} has {body_lines(node)} lines'
        for s in EVERYTHING
        for name, node, _ in functions(s)
        if body_lines(node) > MOST_FUNCTION_LINES
    ]


def is_setter(node: ast.AST) -> bool:
    """Whether a function sets a property, whose getter has the docstring."""
    decorators = getattr(node, 'decorator_list', [])
    return any(isinstance(d, ast.Attribute) and d.attr == 'setter' for d in decorators)


def unannotated(node: Function, parent: ast.AST) -> Iterator[str]:
    """Names of the arguments of a function that have no annotation, and `return`."""
    arguments = [*node.args.posonlyargs, *node.args.args]
    is_static = any(isinstance(d, ast.Name) and d.id == 'staticmethod' for d in node.decorator_list)
    if isinstance(parent, ast.ClassDef) and not is_static:
        arguments = arguments[1:]
    extra = [a for a in (node.args.vararg, node.args.kwarg) if a is not None]
    for argument in (*arguments, *node.args.kwonlyargs, *extra):
        if argument.annotation is None:
            yield argument.arg
    if node.returns is None:
        yield 'return'


def test_everything_is_annotated() -> None:
    assert not [
        f'{s.path}: {name}({missing})'
        for s in (*LIBRARY, *sources('tools', 'tests', 'projects'))
        for name, node, parent in functions(s)
        for missing in unannotated(node, parent)
    ]


def test_everything_public_has_a_docstring() -> None:
    missing = [str(s.path) for s in LIBRARY if not ast.get_docstring(s.tree)]
    for source in LIBRARY:
        for name, node, parent in source.scopes:
            is_exempt = isinstance(parent, Function) or is_setter(node)
            if is_public(name) and not is_exempt and not ast.get_docstring(node):  # type: ignore[arg-type]
                missing.append(f'{source.path}: {name}')
    assert not missing


def constructors() -> Iterator[tuple[str, list[ast.arg], list[ast.arg]]]:
    """Yield (class, positional, keyword-only arguments) of every `__init__`, without `self`."""
    for source in LIBRARY:
        for name, node, _ in functions(source):
            if name.endswith('.__init__'):
                positional = [*node.args.posonlyargs, *node.args.args][1:]
                yield name.removesuffix('.__init__').rpartition('.')[2], positional, node.args.kwonlyargs


def test_constructors_take_few_arguments() -> None:
    many = {
        name for name, positional, keyword in constructors() if len(positional) + len(keyword) > MOST_ARGUMENTS
    }
    assert many == set(MANY_ARGUMENTS)


def test_constructors_take_at_most_two_positional_arguments() -> None:
    many = {name for name, positional, _ in constructors() if len(positional) > MOST_POSITIONAL}
    assert many == set(MANY_POSITIONAL)


def test_no_star_imports() -> None:
    assert not [
        f'{s.path}:{node.lineno}'
        for s in EVERYTHING
        for node in s.nodes
        if isinstance(node, ast.ImportFrom) and any(alias.name == '*' for alias in node.names)
    ]


def is_mutable(node: ast.expr | None) -> bool:
    """Whether a default is made once and could be changed by a caller."""
    if isinstance(node, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp):
        return True
    is_named_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    return is_named_call and node.func.id in ('list', 'dict', 'set')  # type: ignore[union-attr]


def test_no_mutable_defaults() -> None:
    assert not [
        f'{s.path}: {name}'
        for s in EVERYTHING
        for name, node, _ in functions(s)
        if any(is_mutable(default) for default in (*node.args.defaults, *node.args.kw_defaults))
    ]


def test_library_does_not_print() -> None:
    assert not [
        f'{s.path}:{node.lineno}'
        for s in LIBRARY
        if s.path.parts[1] != 'cli'
        for node in s.nodes
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'print'
    ]


@pytest.mark.parametrize('word', ['TO' + 'DO', 'FIX' + 'ME', 'X' * 3])
def test_no_notes_to_self(word: str) -> None:
    assert not [str(s.path) for s in EVERYTHING if f'# {word}' in s.text]


def tools() -> list[Source]:
    """The Python files of `tools/`."""
    return list(sources('tools'))


def test_tools_are_wrappers() -> None:
    assert tools()
    for source in tools():
        statements = [node for node in source.tree.body if not isinstance(node, ast.Expr)]
        lines = sum(node.end_lineno - node.lineno + 1 for node in statements)
        assert lines <= 5, source.path
        imported = [node.module for node in statements if isinstance(node, ast.ImportFrom)]
        assert all(module.startswith('mmfas.cli') for module in imported), source.path


def test_test_modules_have_names_of_their_own() -> None:
    """Folders of tests without `__init__.py` share one name space: a second module of a name is not collected."""
    loose = [
        s.path for s in sources('tests', 'projects') if not (REPO / s.path).with_name('__init__.py').is_file()
    ]
    names_of_modules = [path.name for path in loose if path.name.startswith('test_')]
    assert len(names_of_modules) > 50
    assert len(set(names_of_modules)) == len(names_of_modules), sorted(
        str(path) for path in loose if names_of_modules.count(path.name) > 1
    )
