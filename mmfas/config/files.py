"""Config files as text, before anything of them runs: what cannot be read, and files that inherit themselves."""

from __future__ import annotations

import ast
import json
import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmfas.utils.errors import InputError

#: Bytes of the largest config file; dumped configs of large models have a few hundred thousand.
MAX_BYTES = 2_000_000
#: Values that a YAML file may stand for once its aliases are written out.
MAX_YAML_VALUES = 100_000
SUFFIXES = ('.py', '.json', '.yaml', '.yml')
#: A variable of the environment without the colon that mmengine looks for.
_UNSET = re.compile(r'\{\{\s*[\'"]?\s*\$(\w+)\s*[\'"]?\s*\}\}')


class FileFault(InputError):
    """What is wrong with one config file; the message is one sentence without its name."""


def read_text(path: str | os.PathLike[str]) -> str:
    """Read a config file as text.

    Args:
        path: The file.

    Raises:
        FileFault: If it is missing, too large, not a regular file, or not UTF-8 text.
    """
    file = Path(path)
    if not file.is_file():
        raise FileFault('does not exist or is not a file; check the path')
    if file.suffix not in SUFFIXES:
        raise FileFault(f'is not a config: its name must end in {", ".join(SUFFIXES)}')
    size = file.stat().st_size
    if size > MAX_BYTES:
        raise FileFault(f'has {size} bytes, and a config at most {MAX_BYTES}; is this the right file?')
    try:
        data = file.read_bytes()
    except OSError as error:
        raise FileFault(f'cannot be read: {error.strerror}; see `ls -l`') from error
    return _decode(data)


def _decode(data: bytes) -> str:
    """Turn the bytes of a file into text."""
    if data.startswith((b'\xef\xbb\xbf', b'\xff\xfe', b'\xfe\xff')):
        raise FileFault('begins with a byte order mark; save it as UTF-8 without one (without BOM)')
    try:
        text = data.decode('utf-8')
    except UnicodeDecodeError as error:
        line = data.count(b'\n', 0, error.start) + 1
        raise FileFault(
            f'line {line}: byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8'
        ) from None
    if '\0' in text:
        raise FileFault(
            f'line {text.count(chr(10), 0, text.index(chr(0))) + 1}: a NUL byte; this is not a text file'
        )
    return text


def _check_python(text: str) -> None:
    """Raise if a text is not Python."""
    try:
        ast.parse(text)
    except SyntaxError as error:
        raise FileFault(f'line {error.lineno}: {error.msg}') from error
    except (RecursionError, MemoryError) as error:
        raise FileFault('is nested too deeply') from error
    except ValueError as error:
        raise FileFault(str(error)) from error


def _check_json(text: str) -> None:
    """Raise if a text is not a JSON object or has a key twice: the last one would win."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        twice = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
        if twice:
            raise FileFault(f"has the key '{twice[0]:.80}' twice in one place; keep one")
        return dict(pairs)

    try:
        found = json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise FileFault(f'line {error.lineno}: {error.msg}') from error
    except RecursionError as error:
        raise FileFault('is nested too deeply') from error
    except FileFault:
        raise
    except ValueError as error:  # numbers of thousands of digits
        raise FileFault(f'has a number that cannot be read: {str(error).partition(";")[0]}') from error
    if not isinstance(found, dict):
        raise FileFault('must hold one object, {...}')


def _check_yaml(text: str) -> None:
    """Raise if a text is not a plain YAML mapping: tags that make objects, keys given twice, exploding aliases."""
    import yaml

    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is None or not isinstance(root, yaml.MappingNode):
            raise FileFault('must hold one mapping, `key: value`')
        for number, problem in enumerate(_faults_of_yaml(root)):
            if problem is not None:
                raise FileFault(problem)
            if number > MAX_YAML_VALUES:
                raise FileFault(f'stands for more than {MAX_YAML_VALUES} values once its aliases are written out')
        yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise FileFault(f'line {line}: {error.problem}') from error
    except yaml.YAMLError as error:
        raise FileFault(str(error).splitlines()[0]) from error
    except RecursionError as error:
        raise FileFault('is nested too deeply, or refers to itself') from error
    except FileFault:
        raise
    except ValueError as error:  # dates that do not exist, numbers of thousands of digits
        raise FileFault(f'has a value that cannot be read: {str(error).partition(";")[0]}') from error


def _faults_of_yaml(node: Any) -> Iterator[str | None]:
    """Yield once per value what is wrong with it, or None."""
    line = node.start_mark.line + 1
    is_plain = node.tag.startswith('tag:yaml.org,2002:') and '/' not in node.tag
    made = f"the tag '{node.tag:.80}' makes an object, which could run code; a config holds plain values"
    yield None if is_plain else f'line {line}: {made}'
    if node.id == 'mapping':
        names = Counter(key.value for key, _ in node.value if key.id == 'scalar' and key.value != '<<')
        twice = [name for name, count in names.items() if count > 1]
        if twice:
            yield f"line {line}: the key '{twice[0]:.80}' occurs twice in one place; keep one"
        for key, value in node.value:
            yield from _faults_of_yaml(key)
            yield from _faults_of_yaml(value)
    elif node.id == 'sequence':
        for value in node.value:
            yield from _faults_of_yaml(value)


def _imported_bases(text: str, folder: Path) -> Iterator[Path]:
    """Yield the files that `with read_base():` imports relative to a config."""
    for statement in ast.parse(text).body:
        inner = statement.body if isinstance(statement, ast.With) else ()
        for node in inner:
            if isinstance(node, ast.ImportFrom) and node.level and node.module:
                start = folder.joinpath(*['..'] * (node.level - 1))
                yield start / f'{node.module.replace(".", "/")}.py'


def bases_of(path: str | os.PathLike[str], text: str) -> list[Path]:
    """List the files that a config names in `_base_`, with its variables replaced as mmengine does it.

    Args:
        path: The config.
        text: Its content.

    Raises:
        Exception: Whatever `_base_`, an expression, raises.
    """
    from mmengine.config import Config

    name = os.path.abspath(os.path.expanduser(path))
    if '_base_' not in text:
        return []
    with tempfile.TemporaryDirectory() as folder:
        copy = os.path.join(folder, f'config{Path(name).suffix}')
        Config._substitute_predefined_vars(name, copy)
        Config._substitute_env_variables(copy, copy)
        Config._pre_substitute_base_vars(copy, copy)
        listed = Config._get_base_files(copy)
    for base in listed:
        if not isinstance(base, str):
            raise FileFault(f'_base_ must be a path or a list of paths, got {base!r:.80}')
    return [Path(Config._get_cfg_path(base, name)[0]) for base in listed]


_CHECKS = {'.py': _check_python, '.json': _check_json, '.yaml': _check_yaml, '.yml': _check_yaml}


def check_files(path: str | os.PathLike[str], above: tuple[Path, ...] = (), seen: set[Path] | None = None) -> None:
    """Check a config file and all it inherits, before any of them runs.

    Args:
        path: The config.
        above: Files that lead to it, for the recursion.
        seen: Files that were looked at, for the recursion.

    Raises:
        FileFault: If a file cannot be read, is not Python, JSON or YAML, or inherits itself; the message names the
            file where it is not `path`.
    """
    file = Path(path).expanduser().resolve()
    seen = set() if seen is None else seen
    if file in above:
        circle = ' -> '.join(one.name for one in (*above[above.index(file) :], file))
        raise FileFault(f'_base_ goes in a circle: {circle}; take one of them out')
    if file in seen:
        return
    try:
        text = read_text(Path(path).expanduser())
        _CHECKS[Path(path).suffix](text)
    except FileFault as error:
        if not above:
            raise
        inherited = f"it inherits or needs '{path}', which"
        raise FileFault(
            f'{inherited} {error}' if str(error)[:4] != 'line' else f'{inherited} is wrong: {error}'
        ) from error
    seen.add(file)
    imported = _imported_bases(text, Path(path).parent) if Path(path).suffix == '.py' else ()
    for base in (*bases_of(path, text), *imported):
        check_files(base, (*above, file), seen)


def unset_variables(tree: Any, path: str = '') -> Iterator[str]:
    """Find `{{$VARIABLE}}` that was not replaced, because mmengine only replaces `{{$VARIABLE:default}}`.

    Args:
        tree: Values of a config.
        path: Their place in the config.

    Yields:
        One sentence for every such text.
    """
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from unset_variables(value, f'{path}.{key}' if path else str(key))
    elif isinstance(tree, list | tuple):
        for i, value in enumerate(tree):
            yield from unset_variables(value, f'{path}[{i}]')
    elif isinstance(tree, str) and (found := _UNSET.search(tree)):
        name = found.group(1)
        yield f'{path}: {found.group()} is replaced by nothing; write {{{{${name}:default}}}} and set {name}'
