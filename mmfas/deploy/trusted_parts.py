"""Which parts a file from elsewhere may ask for.

A config of one's own may name any class by its dotted path, and building it calls it: `type='os.system'` would run
a program. A bundle comes from somebody else, so its configs may name registered parts only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any
from unittest import mock

from mmengine.registry import Registry
from torch import Tensor, nn

from mmfas.models.heads import PROMPT_SETS
from mmfas.utils.errors import InputError

_NAME = re.compile(r'(?:(?P<scope>mmfas|mmpretrain)\.)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)')
#: Keys that change where mmengine looks for parts, or what it reads before it builds them.
_REFUSED_KEYS = ('_scope_', 'custom_imports')
#: Keys with which networks of other toolkits read or download weights while they are built; so do addresses in the
#: name of a model of timm.
_FETCHING_KEYS = ('pretrained', 'checkpoint_path', 'pretrained_cfg', 'pretrained_cfg_overlay')
#: Classes of these packages may be named: layers, activations, norms, trunks. Not whole methods of mmpretrain,
#: some of which fetch files when they are built.
_TRUSTED_HOMES = (
    'mmfas.',
    'torch.nn.',
    'mmcv.',
    'mmengine.model.',
    'mmpretrain.models.backbones.',
    'mmpretrain.models.utils.',
)

#: A constructor may make parts that it then replaces, but not many times what the file has weights for.
_SPARE_FACTOR, _SPARE_VALUES = 4, 1_000_000


def check_parts(config: Any, registry: Registry, what: str) -> None:
    """Raise if a config asks for anything but registered parts.

    Args:
        config: Nested configs, with their parts under `type`.
        registry: Where the parts are registered.
        what: What the config is of, for the message.

    Raises:
        ValueError: If a part is not registered, or a key changes where parts are looked for or names a file.
    """
    for key, value in _entries(config):
        if key in _FETCHING_KEYS and value or key == 'model_name' and ':' in str(value):
            raise InputError(
                f'{what} was refused: {key}={value!r} would read weights from elsewhere; nothing of it was built'
            )
        if key in _REFUSED_KEYS:
            raise InputError(
                f'{what} was refused: it sets {key!r}, which a bundle must not; nothing of it was built'
            )
        if key == 'prompts' and isinstance(value, str) and value not in PROMPT_SETS:  # read when they are built
            raise InputError(
                f'{what} was refused: its prompts are in the file {value[:300]!r}, but nothing is read beside a '
                'bundle, and nothing of it was built; make it again, then it has their texts'
            )
        if key == 'type' and not _is_trusted(value, registry):
            raise InputError(
                f'{what} was refused: it asks for {value!r}, which is not a registered part; nothing of it was '
                'built. If a plugin has it, install that first; `mmfas list` shows what there is'
            )


def _entries(config: Any) -> Iterator[tuple[str, Any]]:
    """Yield all keys with their values, at any depth."""
    if isinstance(config, dict):
        for key, value in config.items():
            yield str(key), value
            yield from _entries(value)
    elif isinstance(config, list | tuple):
        for value in config:
            yield from _entries(value)


def _is_trusted(name: Any, registry: Registry) -> bool:
    """Tell whether a name is that of a registered part, without importing anything that the name says."""
    match = _NAME.fullmatch(name) if isinstance(name, str) else None
    if match is None:
        return False
    if match['name'] in registry.module_dict:  # of mmfas, or of a plugin that was installed here
        return True
    found = next((table[match['name']] for table in _other_tables(registry) if match['name'] in table), None)
    return found is not None and f'{found.__module__}.'.startswith(_TRUSTED_HOMES)


def _other_tables(registry: Registry) -> Iterator[dict[str, Any]]:
    """Yield the tables of the parents of a registry, then that of mmpretrain."""
    place = registry.parent
    while place is not None:
        yield place.module_dict
        place = place.parent
    import_module('mmpretrain.registry')
    sibling = registry.parent.children.get('mmpretrain') if registry.parent is not None else None
    if sibling is not None:
        sibling.import_from_location()
        yield sibling.module_dict


@contextmanager
def limited_size(num_values: int, what: str) -> Iterator[None]:
    """Stop constructors in the block that make far more parameters and buffers than a file has values for.

    A few bytes of config may ask for layers of any size; they are refused before memory is filled.

    Args:
        num_values: Values of all weights in the file.
        what: What is built, for the message.

    Raises:
        ValueError: When it gets too large.
    """
    left = _SPARE_FACTOR * num_values + _SPARE_VALUES

    def count(value: Tensor | None) -> None:
        nonlocal left
        left -= 0 if value is None else value.numel()
        if left < 0:
            raise InputError(
                f'{what} was refused: its config asks for far more than the {num_values} values of its weights'
            )

    def on_parameter(module: nn.Module, name: str, value: nn.Parameter | None) -> None:
        count(value)
        register_parameter(module, name, value)

    def on_buffer(module: nn.Module, name: str, value: Tensor | None, persistent: bool = True) -> None:
        count(value)
        register_buffer(module, name, value, persistent)

    register_parameter, register_buffer = nn.Module.register_parameter, nn.Module.register_buffer
    with (
        mock.patch.object(nn.Module, 'register_parameter', on_parameter),
        mock.patch.object(nn.Module, 'register_buffer', on_buffer),
    ):
        yield
