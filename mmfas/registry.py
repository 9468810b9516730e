"""Registries of mmfas: they turn a `type='...'` of a config into a class.

All networks are in one node, `MODELS`, a child of mmengine's, so that parts of other toolkits resolve
(`mmpretrain.VisionTransformer`). `BACKBONES`, `FUSION_NECKS`, `HEADS` and `LOSSES` are typed views on it: they
accept and build one kind of part only. `locations` are imported when a registry is first used.
"""

from __future__ import annotations

import difflib
import functools
import sys
from collections.abc import Callable, Iterator
from importlib import import_module, metadata
from typing import Any

from mmengine import registry as engine
from mmengine.registry import Registry

from mmfas.utils.errors import PackageError, UnknownKeyError, WrongTypeError

SCOPE = 'mmfas'
#: Modules whose import fills mmengine's root registries, which import nothing by themselves.
ENGINE_HOMES = (
    'mmengine.dataset',
    'mmengine.evaluator',
    'mmengine.hooks',
    'mmengine.model',
    'mmengine.optim',
    'mmengine.runner',
    'mmengine.visualization',
    'mmcv.transforms',
    'mmcv.cnn',
)


def _known_names(registry: Registry, scope: str) -> set[str]:
    """Names that `registry` (its node of `scope`, where that is given) or one of its parents holds."""
    names: set[str] = set()
    with registry.switch_scope_and_registry(scope or registry.scope) as found:
        node: Registry | None = found
    while node is not None:
        names |= set(node.module_dict)
        node = node.parent
    return names


def _look_up(registry: Registry, type_name: str) -> Any:
    """Return what `type_name` stands for, or None."""
    try:
        return registry.get(type_name)
    except RuntimeError:  # mmengine's wording for a dotted path that does not exist
        return None


def _import_error_of(type_name: str) -> ImportError | None:
    """Return the error that hides behind an unknown `scope.Name`, which mmengine swallows."""
    scope, _, _ = type_name.rpartition('.')
    if not scope:
        return None
    try:
        import_module(f'{scope}.registry' if '.' not in scope else scope)
    except ImportError as error:
        return error
    return None


def resolve(registry: Registry, type_name: Any) -> Any:
    """Find the class that a config's `type` names, with an error that helps.

    Args:
        registry: Registry to look in (its parents are searched too).
        type_name: Registered name, `scope.Name`, dotted path of a class, or the class itself.

    Returns:
        The class or function.

    Raises:
        KeyError: If nothing has this name; the message has the nearest names and, where an import failed on the
            way, that import's error as its cause.
    """
    if not isinstance(type_name, str):
        return type_name
    found = _look_up(registry, type_name)
    if found is None:
        for home in ENGINE_HOMES:
            import_module(home)
        found = _look_up(registry, type_name)
    if found is not None:
        return found
    cause = _import_error_of(type_name)
    scope, _, name = type_name.rpartition('.')
    names = _known_names(registry, '' if cause or '.' in scope else scope)
    near = difflib.get_close_matches(name, names, n=3)
    hint = f'did you mean {" or ".join(near)}?' if near else f'known: {", ".join(sorted(names)) or "nothing"}'
    if cause is not None:
        hint = f'importing it failed: {cause}'
    raise UnknownKeyError(f"'{type_name}' is not in the {registry.name} registry; {hint}") from cause


def _helpful(build_func: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a build function of mmengine so that a wrong `type` raises the error of `resolve`."""

    def build(cfg: Any, registry: Registry, *args: Any, **kwargs: Any) -> Any:
        if isinstance(cfg, dict) and 'type' in cfg:
            with registry.switch_scope_and_registry(cfg.get('_scope_')) as scoped:
                resolve(scoped, cfg['type'])
        return build_func(cfg, *args, registry=registry, **kwargs)

    return build


def _child(name: str, parent: Registry, *locations: str) -> Registry:
    """Make the mmfas node below a root registry of mmengine."""
    return Registry(
        name,
        parent=parent,
        scope=SCOPE,
        # Never empty: mmengine would then fall back to importing every part of the toolkit.
        locations=list(locations) or [__name__],
        build_func=_helpful(parent.build_func),
    )


class TypedView:
    """A registry of one kind of part, on top of a shared node.

    Args:
        kind: What the part is called in messages, such as `'fusion neck'`.
        key: The config key of such a part, such as `'neck'`.
        node: Shared registry that really holds the classes.
        base: Base class of this kind as `'module:Class'`, imported when first needed.
    """

    _views: list[TypedView] = []

    def __init__(self, kind: str, key: str, *, node: Registry, base: str) -> None:
        self.kind = kind
        self.name = kind
        self.key = key
        self.node = node
        self.module_dict: dict[str, type] = {}
        self._base_path = base
        TypedView._views.append(self)

    def __repr__(self) -> str:
        return f'TypedView({self.kind}: {", ".join(sorted(self.module_dict))})'

    def __len__(self) -> int:
        return len(self.module_dict)

    def __contains__(self, name: str) -> bool:
        return name in self.module_dict

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self.module_dict))

    @property
    def base(self) -> type:
        """Base class of this kind of part."""
        module, _, name = self._base_path.partition(':')
        return getattr(import_module(module), name)

    def _check_kind(self, cls: Any) -> None:
        if isinstance(cls, type) and issubclass(cls, self.base):
            return
        name = getattr(cls, '__name__', repr(cls))
        right = [v for v in TypedView._views if isinstance(cls, type) and issubclass(cls, v.base)]
        if right:
            raise WrongTypeError(
                f'{name} is a {right[0].kind}, not a {self.kind}: it belongs under `{right[0].key}=` of the model'
            )
        raise WrongTypeError(
            f'{name} is not a {self.kind}: it must derive from {self._base_path.replace(":", ".")}'
        )

    def register_module(
        self, name: str | None = None, *, force: bool = False, module: type | None = None
    ) -> Callable[[type], type] | type:
        """Register a class of this kind; use as a decorator or with `module=`.

        Args:
            name: Name in configs; the class name if None.
            force: Replace a class of the same name.
            module: The class, where this is not used as a decorator.

        Returns:
            The decorator, or the class if `module` is given.

        Raises:
            TypeError: If the class is of another kind.
            KeyError: If the name is taken and `force` is False.
        """

        def decorate(cls: type) -> type:
            self._check_kind(cls)
            self.node.register_module(name=name, force=force, module=cls)
            self.module_dict[name or cls.__name__] = cls
            return cls

        return decorate if module is None else decorate(module)

    def get(self, name: Any) -> type:
        """Return the class of this kind that `name` stands for.

        Raises:
            KeyError: If nothing has this name.
            TypeError: If the part is of another kind.
        """
        with self.node.switch_scope_and_registry(SCOPE) as node:
            cls = resolve(node, name)
        self._check_kind(cls)
        return cls

    def build(self, cfg: Any, **default_args: Any) -> Any:
        """Build a part of this kind; the kind is checked before anything is constructed.

        Args:
            cfg: Config with `type`, or a finished object, which is returned as it is.
            **default_args: Arguments used where the config does not give them.

        Returns:
            The part.

        Raises:
            KeyError: If the type is unknown.
            TypeError: If the part is of another kind, or `cfg` is neither config nor part.
        """
        if not isinstance(cfg, dict):
            self._check_kind(type(cfg))
            return cfg
        if 'type' not in cfg:
            raise UnknownKeyError(f'the config of a {self.kind} needs a `type`, but got keys {sorted(cfg)}')
        self.get(cfg['type'])
        # The scope is set so that inner parts without a prefix are found here, whatever the default scope is.
        return self.node.build({'_scope_': SCOPE, **cfg}, default_args=default_args or None)


MODELS = _child('model', engine.MODELS, 'mmfas.models')
BACKBONES = TypedView('backbone', 'trunk', node=MODELS, base='mmfas.models.backbones.base:BaseTrunk')
FUSION_NECKS = TypedView('fusion neck', 'neck', node=MODELS, base='mmfas.models.necks.base:BaseFusionNeck')
HEADS = TypedView('head', 'head', node=MODELS, base='mmfas.models.heads.base:BaseFASHead')
LOSSES = TypedView('loss', 'loss', node=MODELS, base='mmfas.models.losses.base:BaseLoss')

DATASETS = _child('dataset', engine.DATASETS, 'mmfas.datasets.face_dataset', 'mmfas.datasets.unlabelled')
TRANSFORMS = _child('transform', engine.TRANSFORMS, 'mmfas.datasets.transforms')
DATA_SAMPLERS = _child('data sampler', engine.DATA_SAMPLERS, 'mmfas.datasets.samplers')
METRICS = _child('metric', engine.METRICS, 'mmfas.evaluation.metrics')
HOOKS = _child('hook', engine.HOOKS, 'mmfas.engine.hooks')
OPTIM_WRAPPERS = _child('optim_wrapper', engine.OPTIM_WRAPPERS, 'mmfas.engine.optim_wrappers')
MODEL_WRAPPERS = _child('model_wrapper', engine.MODEL_WRAPPERS, 'mmfas.models')
VISUALIZERS = _child('visualizer', engine.VISUALIZERS, 'mmfas.visualization')
OPTIMIZERS = _child('optimizer', engine.OPTIMIZERS, 'mmfas.engine.optimizers')
GRADIENT_MODULATORS = Registry(
    'gradient modulator',
    scope=SCOPE,
    locations=['mmfas.engine.modulators'],
    build_func=_helpful(engine.build_from_cfg),
)
FACE_DETECTORS = Registry(
    'face detector',
    scope=SCOPE,
    locations=['mmfas.datasets.detectors'],
    build_func=_helpful(engine.build_from_cfg),
)

# Nodes without parts of ours: they exist so that mmengine finds the scope and does not warn.
LOOPS = _child('loop', engine.LOOPS)
RUNNERS = _child('runner', engine.RUNNERS)
OPTIM_WRAPPER_CONSTRUCTORS = _child('optimizer wrapper constructor', engine.OPTIM_WRAPPER_CONSTRUCTORS)
PARAM_SCHEDULERS = _child('parameter scheduler', engine.PARAM_SCHEDULERS)
EVALUATORS = _child('evaluator', engine.EVALUATOR)
FUNCTIONS = _child('function', engine.FUNCTIONS)
VISBACKENDS = _child('vis_backend', engine.VISBACKENDS)
LOG_PROCESSORS = _child('log_processor', engine.LOG_PROCESSORS)
WEIGHT_INITIALIZERS = _child('weight initializer', engine.WEIGHT_INITIALIZERS)

#: Every registry that can hold parts, by the name `mmfas list` prints.
PART_REGISTRIES: dict[str, Registry | TypedView] = {
    'model': MODELS,
    'backbone': BACKBONES,
    'fusion neck': FUSION_NECKS,
    'head': HEADS,
    'loss': LOSSES,
    'dataset': DATASETS,
    'transform': TRANSFORMS,
    'data sampler': DATA_SAMPLERS,
    'face detector': FACE_DETECTORS,
    'metric': METRICS,
    'hook': HOOKS,
    'optimizer wrapper': OPTIM_WRAPPERS,
    'optimizer': OPTIMIZERS,
    'gradient modulator': GRADIENT_MODULATORS,
    'model wrapper': MODEL_WRAPPERS,
    'visualizer': VISUALIZERS,
}


def load_plugins() -> list[str]:
    """Import every installed plugin (entry point group `mmfas.plugins`).

    Returns:
        Names of the plugins.

    Raises:
        ImportError: If a plugin cannot be imported; the message names it and the package to fix or remove.
    """
    loaded = []
    for point in _plugins(tuple(sys.path)):
        try:
            point.load()
        except Exception as error:
            raise PackageError(
                f"the plugin '{point.name}' ({point.value}) cannot be imported: {error}; fix or uninstall it"
            ) from error
        loaded.append(point.name)
    return loaded


@functools.cache
def _plugins(path: tuple[str, ...]) -> tuple[metadata.EntryPoint, ...]:
    """Return the entry points of plugins on `sys.path`: to find them, the metadata of every package is read."""
    return tuple(metadata.entry_points(group='mmfas.plugins'))


def register_all_modules() -> None:
    """Import every part of mmfas and every installed plugin, and make `mmfas` the default scope."""
    for registry in PART_REGISTRIES.values():
        if isinstance(registry, Registry):
            registry.import_from_location()
    load_plugins()
    engine.init_default_scope(SCOPE)
