"""Reading and writing bundles: `.pth` and `.safetensors`, both strict, both verified before anything is built."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from mmfas.deploy.bundle import FORMAT, Bundle, BundleError, GoldenSample, digest_of, json_of
from mmfas.deploy.decision import DecisionRule
from mmfas.utils.checkpoint import check_finite, check_weights, read_checkpoint, write_checkpoint
from mmfas.utils.errors import InputError, MissingFileError
from mmfas.utils.safetensors import read_safetensors, write_safetensors

__all__ = ['SUFFIXES', 'bundle_of', 'read_bundle', 'write_bundle']

SUFFIXES = ('.pth', '.safetensors')
#: Endings of what is exported from a bundle, which has no config of the model any more.
_EXPORTED = {'.onnx': 'an ONNX file', '.pt2': 'a program of torch.export'}
#: Keys of a file: the record as text, and the SHA-256 over it and all tensors.
_RECORD, _SHA256 = 'mmfas_bundle', 'mmfas_bundle_sha256'
_NONE = type(None)
#: Key of a record -> kinds that its value may have.
_KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(('name', 'licence'), (str,)),
    **dict.fromkeys(('model', 'decision', 'golden', 'origin'), (dict,)),
    **dict.fromkeys(('modalities', 'optional', 'pipeline'), (list,)),
    'crop': (dict, _NONE),
    'format': (int,),
}
_DECISION_KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(('origin', 'level', 'frame_reduction', 'polarity'), (str,)),
    'threshold': (float, int),
    'band': (list, _NONE),
    'dev': (dict, _NONE),
    'notes': (list,),
}
_CALIBRATION_KINDS: dict[str, tuple[type, ...]] = {
    'method': (str,),
    **dict.fromkeys(('slope', 'intercept'), (float, int)),
}
_DEV_KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(('num_live', 'num_spoof'), (int,)),
    **dict.fromkeys(('bpcer', 'apcer'), (dict,)),
}
_RATE_KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(('value', 'low', 'high'), (float, int)),
    **dict.fromkeys(('errors', 'total'), (int,)),
}
_SYNTHFAS_KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(('renderer_version', 'size'), (str, _NONE)),
    'seed': (int, _NONE),
}
_GOLDEN_KINDS: dict[str, tuple[type, ...]] = {'present': (list,), 'scores': (list,), 'source': (str,)}


def write_bundle(bundle: Bundle, path: str | os.PathLike[str]) -> Path:
    """Write a bundle, completely or not at all.

    Args:
        bundle: With its golden sample.
        path: File that ends in `.pth` or `.safetensors`; the folder is made.

    Returns:
        The file.

    Raises:
        BundleError: If the name ends otherwise, or the bundle has no golden sample.
    """
    file = Path(path)
    if file.suffix not in SUFFIXES:
        raise BundleError(f"a bundle ends in {' or '.join(SUFFIXES)}, got '{file}'")
    if bundle.golden is None:
        raise BundleError('a bundle needs its golden sample: `with_golden_sample` adds it')
    head = {_RECORD: json_of(bundle.record()), _SHA256: bundle.sha256}
    # Tensors that share memory would be written twice, or not at all.
    tensors = {name: value.detach().cpu().clone().contiguous() for name, value in bundle.tensors().items()}
    if file.suffix == '.pth':
        write_checkpoint({**head, 'state_dict': tensors}, file)
    else:
        write_safetensors(tensors, file, metadata=head)
    return file


def read_bundle(path: str | os.PathLike[str]) -> Bundle:
    """Read a bundle and verify its content; nothing in it is run.

    Args:
        path: File of `write_bundle`.

    Returns:
        The bundle.

    Raises:
        FileNotFoundError: If there is no such file.
        BundleError: If it is damaged, was changed, or is no bundle; the message says which, and what to do.
    """
    file = Path(path).expanduser()
    if file.suffix in _EXPORTED:
        raise BundleError(
            f"'{file}' is {_EXPORTED[file.suffix]}, but a bundle is needed here, such as the one it was made from"
        )
    if not file.is_file():
        raise MissingFileError(f"bundle '{file}' does not exist or is not a file; check the path")
    head, tensors = _read(file)
    record = head.get(_RECORD)
    if not isinstance(record, str) or not isinstance(head.get(_SHA256), str):
        raise BundleError(
            f"'{file}' is not a bundle, but {'a checkpoint' if tensors else 'another file'}; make one with "
            '`mmfas bundle CONFIG CHECKPOINT --dev-scores dev.csv --out FILE`'
        )
    if digest_of(record, tensors) != head[_SHA256]:
        raise BundleError(
            f"'{file}' was changed after it was made: its content does not have the SHA-256 that it states; copy "
            'it again from where it was made'
        )
    return _parse(record, tensors, file)


def _read(file: Path) -> tuple[Mapping[str, Any], dict[str, Tensor]]:
    """Read the head and the tensors of a file of either kind."""
    if file.suffix == '.safetensors':
        tensors, head = read_safetensors(file)
        return head, tensors
    content, _ = read_checkpoint(file)
    if _RECORD not in content:
        return {}, content.get('state_dict') or {}
    check_weights(content.get('state_dict'), file)
    return content, content['state_dict']


def _parse(text: str, tensors: dict[str, Tensor], file: Path) -> Bundle:
    """Make the bundle of a verified record."""
    weights = _below(tensors, 'model.')
    check_finite(weights, file, 'make the bundle again from an earlier checkpoint')
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"'{file}' is not a usable bundle: its record is not JSON: {error}") from error
    return bundle_of(record, weights, _below(tensors, 'golden.'), source=str(file))


def bundle_of(
    record: Any, weights: Mapping[str, Tensor], pictures: Mapping[str, Tensor], *, source: str
) -> Bundle:
    """Make a bundle of its record, as `Bundle.record` returns it.

    Args:
        record: Plain values, read from a file.
        weights: State dict of the model; empty where the weights are elsewhere.
        pictures: Modality -> picture of the golden sample.
        source: Where the record is from, for messages.

    Raises:
        BundleError: If the record is of another version, or lacks or misstates something.
    """
    try:
        _check_kinds(record, _KINDS, source)
        if record['format'] != FORMAT:
            raise BundleError(
                f"'{source}' is a bundle of format {record['format']}, but this version reads {FORMAT}; "
                'use the version of mmfas that made it, or make it again'
            )
        for number, step in enumerate(record['pipeline']):
            _check_kinds(step, {'type': (str,)}, f"step {number} of the pipeline' of '{source}")
        golden = record['golden']
        _check_kinds(golden, _GOLDEN_KINDS, f"golden' of '{source}")
        _check_golden(golden, record['modalities'], pictures)
        _check_origin(record['origin'], f"origin' of '{source}")
        _check_decision(record['decision'], f"decision' of '{source}")
        return Bundle(
            name=record['name'],
            model=record['model'],
            weights=weights,
            modalities=tuple(record['modalities']),
            optional=tuple(record['optional']),
            pipeline=record['pipeline'],
            decision=DecisionRule.from_dict(record['decision']),
            golden=GoldenSample(
                pictures,
                tuple(tuple(names) for names in golden['present']),
                tuple(golden['scores']),
                golden['source'],
            ),
            crop=record['crop'],
            origin=record['origin'],
            licence=record['licence'],
        )
    except BundleError:
        raise
    except (KeyError, TypeError, ValueError, IndexError, RecursionError) as error:
        raise BundleError(f"'{source}' is not a usable bundle: its record lacks or misstates {error}") from error


def _check_golden(golden: Mapping[str, Any], modalities: Sequence[str], pictures: Mapping[str, Tensor]) -> None:
    """Raise unless a golden sample has a score of every set of pictures that it names, and these pictures."""
    sets, scores = golden['present'], golden['scores']
    if not sets or len(sets) != len(scores):
        raise InputError(f'the golden sample: {len(scores)} scores of {len(sets)} sets of pictures')
    for names in sets:
        if not names or not set(names) <= set(modalities) & set(pictures):
            raise InputError(
                f'the golden sample: its pictures are {sorted(pictures)}, but a score is of {names!r}'
            )
    for score in scores:
        if type(score) not in (float, int) or not 0 <= score <= 1:  # not a number, too
            raise InputError(f'the golden sample: scores are in [0, 1], but one is {score!r}')


def _check_origin(origin: Mapping[str, Any], source: str) -> None:
    """Raise unless what the card shows of the origin is of the right kinds; all of it may be absent."""
    data, scores = origin.get('data') or {}, origin.get('dev_scores') or {}
    _check_kinds(data, {}, f"data' of '{source}")
    if data.get('synthfas'):
        _check_kinds(data['synthfas'], _SYNTHFAS_KINDS, f"synthfas' of '{source}")
    _check_kinds(scores, {'file': (str,)} if scores else {}, f"dev_scores' of '{source}")


def _check_decision(decision: Any, source: str) -> None:
    """Raise unless a rule and its rates on dev have values of the right kinds."""
    _check_kinds(decision, _DECISION_KINDS, source)
    if decision.get('calibration') is not None:
        _check_kinds(decision['calibration'], _CALIBRATION_KINDS, f"calibration' of '{source}")
    if decision['dev'] is not None:
        _check_kinds(decision['dev'], _DEV_KINDS, source)
        for rate in (decision['dev']['bpcer'], *decision['dev']['apcer'].values()):
            _check_kinds(rate, _RATE_KINDS, source)


def _check_kinds(values: Any, kinds: Mapping[str, tuple[type, ...]], source: str) -> None:
    """Raise unless a dictionary has values of the right kinds under its keys."""
    if not isinstance(values, dict):
        raise BundleError(f"'{source}' is not a usable bundle: it must be a dictionary, but is {values!r:.80}")
    for key, allowed in kinds.items():
        value = values[key]
        if type(value) not in allowed or isinstance(value, list) and not all(map(_is_plain_item, value)):
            names = ' or '.join(kind.__name__ for kind in allowed)
            raise BundleError(f"'{source}' is not a usable bundle: {key} must be {names}, but is {value!r:.80}")


def _is_plain_item(item: Any) -> bool:
    """Tell whether an entry of a list is of a kind that lists of a record have."""
    if isinstance(item, list):
        return all(isinstance(name, str) for name in item)
    return isinstance(item, dict | str | float | int) and not isinstance(item, bool)


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names start with a prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
