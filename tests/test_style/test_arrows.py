"""Imports point down, rooms side by side stay apart, nothing goes round in circles."""

from __future__ import annotations

from style_source import Source, imported_modules, sources

LIBRARY = sources('mmfas')
BOTTOM = {'registry', 'structures', 'utils', 'version', 'config'}
ROOMS = {'datasets', 'synthfas', 'models', 'engine', 'evaluation'}
JOINED = BOTTOM | ROOMS | {'visualization', 'apis'}

#: Room -> other rooms of mmfas that it may import; docs/en/architecture.md draws the same table.
ARROWS: dict[str, set[str]] = {
    **dict.fromkeys(BOTTOM - {'config'}, BOTTOM - {'config'}),
    'config': BOTTOM,
    **dict.fromkeys(ROOMS, BOTTOM),
    'visualization': BOTTOM | ROOMS,
    'apis': BOTTOM | ROOMS | {'visualization'},
    'analysis': JOINED,
    'benchmark': JOINED,
    'deploy': JOINED,
    'cli': JOINED | {'analysis', 'benchmark', 'deploy'},
    '__main__': {'cli'},
    '': {'utils', 'version'},
}
#: Inside `models`: what the shared layers may not know of.
ABOVE_LAYERS = {'backbones', 'necks', 'heads', 'losses', 'fas'}


def room(module: str) -> str:
    """First name below `mmfas`."""
    return (module.split('.') + [''])[1]


def test_every_room_has_arrows() -> None:
    assert {room(source.module) for source in LIBRARY} == set(ARROWS)


def test_imports_follow_the_arrows() -> None:
    wrong = []
    for source in LIBRARY:
        here = room(source.module)
        for target in imported_modules(source):
            if room(target) != here and room(target) not in ARROWS[here]:
                wrong.append(f'{source.path} imports {target}')
    assert not wrong


def test_layers_know_no_parts() -> None:
    layers = [source for source in LIBRARY if source.module.startswith('mmfas.models.layers')]
    assert layers
    for source in layers:
        inner = {target.split('.')[2] for target in imported_modules(source) if target.startswith('mmfas.models.')}
        assert not inner & ABOVE_LAYERS, source.path


def test_projects_and_tools_are_not_imported() -> None:
    for source in LIBRARY:
        assert 'import projects' not in source.text, source.path
        assert 'from projects' not in source.text, source.path


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Return one circle of a graph, or an empty list."""
    done: set[str] = set()

    def visit(node: str, way: list[str]) -> list[str]:
        if node in way:
            return [*way[way.index(node) :], node]
        if node in done:
            return []
        for target in sorted(graph.get(node, ())):
            found = visit(target, [*way, node])
            if found:
                return found
        done.add(node)
        return []

    return next((found for node in sorted(graph) if (found := visit(node, []))), [])


def test_circles_are_found() -> None:
    assert circle({'a': {'b'}, 'b': {'c'}, 'c': {'b'}}) == ['b', 'c', 'b']
    assert circle({'a': {'b', 'c'}, 'b': {'c'}}) == []


def imports_of(source: Source) -> set[str]:
    """Modules imported when this one is; a package's own files do not import the package."""
    return {target for target in imported_modules(source, at_import_only=True) if target != source.module}


def test_no_import_circles() -> None:
    assert circle({source.module: imports_of(source) for source in LIBRARY}) == []


def test_no_circles_even_of_imports_for_types() -> None:
    graph = {source.module: imported_modules(source) - {source.module} for source in LIBRARY}
    # A package's own files do not import the package: its __init__ names what they define.
    packages = {source.module for source in LIBRARY if source.path.name == '__init__.py'}
    assert circle({name: targets - packages for name, targets in graph.items() if name not in packages}) == []
