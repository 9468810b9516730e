"""What inheritance silently does to a config: names that nothing reads, imports that a child replaces."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmfas.config.files import bases_of, read_text
from mmfas.config.keys import OLD_NAMES, PLACES, TOP_LEVEL_KEYS, set_there
from mmfas.config.signatures import near_match

#: `{{_base_.name}}` inside a string, another spelling of `_base_.name`.
_BASE_TEXT = re.compile(r'\{\{\s*_base_\.(\w+)')


@dataclass(frozen=True)
class ConfigFile:
    """One Python file of a config.

    Args:
        path: The file.
        names: Name that the file sets at its top -> line.
        used: Names that the file itself reads.
        used_of_bases: Names of the files it inherits that it reads, as in `_base_.train_pipeline`.
        imports: Modules of its `custom_imports`; None if it has none.
        bases: The files it inherits, in its order.
    """

    path: Path
    names: Mapping[str, int]
    used: frozenset[str]
    used_of_bases: frozenset[str]
    imports: tuple[str, ...] | None
    bases: tuple[ConfigFile, ...]

    def chain(self) -> Iterator[ConfigFile]:
        """Yield this file and all it inherits, every file once."""
        seen: set[Path] = set()
        stack: list[ConfigFile] = [self]
        while stack:
            file = stack.pop(0)
            if file.path not in seen:
                seen.add(file.path)
                yield file
                stack += file.bases


def read_config_file(path: str | Path) -> ConfigFile | None:
    """Read the names of a config file and of all it inherits, without running it.

    Args:
        path: A Python config that mmengine has already read, so that its bases exist.

    Returns:
        The file; None for another format than Python.
    """
    file = Path(path)
    if file.suffix != '.py':
        return None
    text = read_text(file)
    tree = ast.parse(text)
    bases = [found for base in bases_of(file, text) if (found := read_config_file(base)) is not None]
    read = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Store)]
    of_bases = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == '_base_'
    }
    return ConfigFile(
        file.resolve(),
        dict(_names_set(tree)),
        frozenset(node.id for node in read),
        frozenset(of_bases | set(_BASE_TEXT.findall(text))),
        _imports(tree),
        tuple(bases),
    )


def _names_set(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield the names that statements at the top of a file set, and their lines."""
    for statement in tree.body:
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, 'target', None)]
        for target in targets:
            for node in ast.walk(target) if target is not None else ():
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    yield node.id, statement.lineno


def _imports(tree: ast.Module) -> tuple[str, ...] | None:
    """Return the modules of `custom_imports`, as far as they are written down as strings."""
    for statement in tree.body:
        names = [t.id for t in getattr(statement, 'targets', ()) if isinstance(t, ast.Name)]
        if isinstance(statement, ast.Assign) and 'custom_imports' in names:
            texts = (n.value for n in ast.walk(statement.value) if isinstance(n, ast.Constant))
            return tuple(text for text in texts if isinstance(text, str) and text != 'imports')
    return None


def _is_part_of(value: Any, whole: Any) -> bool:
    """Tell whether a value equals another, or is a dictionary with some of its entries."""
    if isinstance(value, Mapping) and isinstance(whole, Mapping):
        return all(key in whole and _is_part_of(inner, whole[key]) for key, inner in value.items())
    return value == whole


def _occurs(value: Any, tree: Any) -> bool:
    """Tell whether a tree of settings contains a value, to which other entries may have been added."""
    if _is_part_of(value, tree):
        return True
    inner = tree.values() if isinstance(tree, Mapping) else tree if isinstance(tree, list | tuple) else ()
    return any(_occurs(value, item) for item in inner)


def unread_names(file: ConfigFile, tree: Mapping[str, Any]) -> Iterator[tuple[str, str, bool]]:
    """Find names at the top of config files that nothing reads.

    A file that inherits is read after what it inherits: a variable that a base file used keeps the value it had
    there. In a file that inherits nothing, variables that it does not use itself are left alone, since files that
    inherit it may use them; names of the older generation of OpenMMLab are not.

    Args:
        file: The config file.
        tree: What the config became, as plain values.

    Yields:
        Name, what to do, and whether it must be a mistake: the name has a place, or is nearly that of a setting.
    """
    files = list(file.chain())
    used_by_heirs = frozenset().union(*(one.used_of_bases for one in files))
    settings = {key: value for key, value in tree.items() if key in TOP_LEVEL_KEYS}
    for one in files:
        for name, line in one.names.items():
            is_read = name in TOP_LEVEL_KEYS or name in one.used or name in used_by_heirs or name.startswith('_')
            if is_read or not (one.bases or name in OLD_NAMES) or name not in tree:
                continue
            # A dumped config keeps variables beside the settings that were made of them.
            if not one.bases and _occurs(tree[name], settings):
                continue
            place, near = PLACES.get(name), near_match(name, TOP_LEVEL_KEYS, cutoff=0.8)
            remedy = set_there(place) if place else f'did you mean {near}?' if near else 'take it out'
            yield name, f'nothing reads it ({one.path.name}, line {line}); {remedy}', bool(place or near)


def lost_imports(file: ConfigFile) -> str | None:
    """Say which plug-ins are not imported because a file replaced the `custom_imports` of one it inherits.

    Args:
        file: The config file.

    Returns:
        One sentence; None if nothing is lost.
    """
    giving = [one for one in file.chain() if one.imports is not None]
    if not giving:
        return None
    last, *replaced = giving
    lost = [(name, one) for one in replaced for name in one.imports or () if name not in (last.imports or ())]
    if not lost:
        return None
    names = ', '.join(dict.fromkeys(name for name, _ in lost))
    wanted = [*(last.imports or ()), *dict.fromkeys(name for name, _ in lost)]
    origin = lost[0][1].path.name
    return (
        f'custom_imports of {last.path.name} replaced that of {origin}, so {names} was not imported; '
        f'name all of them: custom_imports = dict(imports={wanted})'
    )
