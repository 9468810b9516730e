"""Whether trunk, neck and head of a config fit: the model is built without memory, and no weights are read."""

from __future__ import annotations

import copy
import logging
import os
import socket
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import nn

from mmfas.config.lookup import find_part
from mmfas.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS, register_all_modules
from mmfas.utils.errors import RunError, UserError

_PACKAGE = str(Path(__file__).resolve().parents[1]) + os.sep
#: Torch only takes what a constructor gives it, so that the fault lies with its caller.
_TORCH = str(Path(torch.__file__).resolve().parent) + os.sep
#: Keys of other toolkits' networks that make them read or download weights while they are built.
_WEIGHT_KEYS = ('pretrained', 'checkpoint_path', 'load_from')


class _Forbidden(RunError):
    """A model reads weights while it is built, so it cannot be checked whether its parts fit."""


def _refuse(*args: Any, **kwargs: Any) -> Any:
    raise _Forbidden


@contextmanager
def _without_weights() -> Iterator[None]:
    """Keep whatever is built from reading weights or using the network."""
    with (
        mock.patch.object(torch, 'load', _refuse),
        mock.patch.object(socket.socket, 'connect', _refuse),
        mock.patch.object(torch.hub, 'download_url_to_file', _refuse),
    ):
        yield


@contextmanager
def _without_memory() -> Iterator[None]:
    """Move every parameter to the meta device as soon as a module gets it.

    Unlike `torch.device('meta')`, this leaves readable what a constructor computes with.
    """
    register = nn.Module.register_parameter

    def on_meta(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        register(module, name, parameter)
        if parameter is not None:
            is_trained = parameter.requires_grad
            module._parameters[name] = nn.Parameter(parameter.detach().to('meta'), requires_grad=is_trained)

    with mock.patch.object(nn.Module, 'register_parameter', on_meta):
        yield


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what constructors log to themselves, and leave the random generator as it was."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        logging.disable(level)


def _without_foreign_weights(model: Any) -> Any:
    """Copy the config of a model without the weights that networks of other toolkits would read."""
    if isinstance(model, Mapping):
        is_foreign = '.' in str(model.get('type', ''))
        kept = {k: v for k, v in model.items() if not (is_foreign and k in _WEIGHT_KEYS)}
        return {key: _without_foreign_weights(value) for key, value in kept.items()}
    if isinstance(model, list | tuple):
        return type(model)(_without_foreign_weights(item) for item in model)
    return copy.deepcopy(model)


def build_without_memory(model: Mapping[str, Any], scope: str) -> nn.Module | Exception:
    """Build a model to inspect it, with its parameters on the meta device if possible, else in memory.

    Nothing is downloaded and no weights are read.

    Args:
        model: Config of a model.
        scope: Where types without a prefix are looked up.

    Returns:
        The model, or why it cannot be built. An error without memory is only believed if memory does not help.
    """
    register_all_modules()
    cfg = {'_scope_': scope, **_without_foreign_weights(model)}
    failure: Exception = _Forbidden()
    with _quiet(), _without_weights():
        try:
            with _without_memory():
                return MODELS.build(copy.deepcopy(cfg))
        except _Forbidden as error:
            return error
        except Exception:  # a constructor that reads its own parameters needs them in memory
            pass
        try:
            return MODELS.build(cfg)
        except Exception as error:  # a constructor may do anything
            failure = error
    return failure


def _builder_of(error: Exception) -> str | None:
    """Name the part of mmfas whose constructor failed, or gave torch what it does not take; None for others.

    Parts of other packages may need, say, a GPU that is missing.
    """
    for frame, _ in reversed(list(traceback.walk_tb(error.__traceback__))):
        file = os.path.realpath(frame.f_code.co_filename)
        if file.startswith(_PACKAGE):
            owner = frame.f_locals.get('self')
            return frame.f_code.co_name if owner is None else type(owner).__name__
        if not file.startswith(_TORCH):
            return None
    return None


def fit_problems(cfg: Mapping[str, Any], built: nn.Module | Exception, scope: str) -> Iterator[str]:
    """Find a trunk, a neck or a head that does not fit the others.

    Args:
        cfg: A whole config as for Runner in which nothing else is wrong.
        built: Its model, see `build_without_memory`.
        scope: Where types without a prefix are looked up.

    Yields:
        At most one line. Parts of other packages that cannot be built for reasons of their own are not judged.
    """
    if isinstance(built, nn.Module):
        yield from _layer_decay(cfg, built, scope)
        yield from _recomputed(cfg, built)
    elif isinstance(built, MemoryError):
        yield f'model: is too large to be built ({" ".join(str(built).split()) or "no memory"}); look at its sizes'
    elif not isinstance(built, _Forbidden | OSError) and (builder := _builder_of(built)) is not None:
        text = ' '.join(str(built.args[0] if built.args else built).split())
        is_worded = isinstance(built, UserError)
        yield (
            f'model: {text}' if is_worded else f'model: {builder} cannot be built: {type(built).__name__}: {text}'
        )


def _recomputed(cfg: Mapping[str, Any], model: nn.Module) -> Iterator[str]:
    """Yield names of the trunk whose activations mmengine cannot recompute: it wraps calls that never come."""
    given = cfg.get('activation_checkpointing') or ()
    names = [given] if isinstance(given, str) else given
    idle = [name for name in names if str(name).startswith('trunk.')] if hasattr(model, 'recompute') else []
    if idle:
        yield (
            f'activation_checkpointing: has no effect on {", ".join(idle)}, whose inside the neck enters; set '
            'model.recompute=True'
        )


def _layer_decay(cfg: Mapping[str, Any], model: nn.Module, scope: str) -> Iterator[str]:
    """Yield that rates cannot fall from layer to layer: the model does not know the depth of its layers."""
    wrapper = cfg.get('optim_wrapper')
    name = wrapper.get('constructor') if isinstance(wrapper, Mapping) else None
    if name is None or hasattr(model, 'get_layer_depth'):
        return
    constructor, _ = find_part(OPTIM_WRAPPER_CONSTRUCTORS, name, scope)
    if getattr(constructor, '__name__', '').startswith('LearningRateDecay'):
        yield (
            f'optim_wrapper.constructor: {constructor.__name__} asks the model for the depth of its layers, and '
            f'{type(model).__name__} has no get_layer_depth; take the constructor out, or give rates by '
            "paramwise_cfg=dict(custom_keys={'trunk': dict(lr_mult=0.1)})"
        )
