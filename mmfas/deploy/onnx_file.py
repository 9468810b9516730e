"""The ONNX file that mmfas writes: one graph, plain metadata, and a digest; nothing outside of it is ever read.

Every value of its metadata is JSON. The digest under `sha256` is that of the file itself with these 64 digits
replaced by zeros, so that it can be checked without any library of ours, and without one that reads ONNX.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from mmfas.structures import MODALITIES
from mmfas.utils.errors import InputError, MissingPackageError
from mmfas.version import __version__

__all__ = ['FORMAT', 'OnnxFileError', 'OnnxHeader', 'pack', 'require_export_packages', 'unpack']

#: Version of the metadata; a reader refuses others.
FORMAT = 1
#: What the file says of itself; callers may add other keys.
RESERVED = ('mmfas_format', 'mmfas_version', 'modalities', 'size', 'precision', 'score', 'sha256')
PRECISIONS = ('fp32', 'fp16', 'int8')
OUTPUTS = ('score', 'logits')
_SCORE = 'probability of live, in [0, 1]: the higher, the more live'
_ZEROS = '0' * 64
#: What an export needs; reading and running a file takes less.
_EXPORT_PACKAGES = ('onnx', 'onnxscript', 'onnxruntime')
#: Sets of operators that onnxruntime has itself; others would need code from elsewhere.
_DOMAINS = {'', 'ai.onnx', 'com.microsoft'}
#: An operator of onnxruntime that opens files named in the graph.
_OPENS_FILES = 'EPContext'


class OnnxFileError(InputError):
    """An ONNX file that is damaged, was changed, is not ours, or cannot be used; the message says which."""


@dataclass(frozen=True)
class OnnxHeader:
    """What an ONNX file says of itself.

    Args:
        modalities: Modalities of the model in canonical order: the inputs, before `present`.
        size: Rows and columns of the pictures in pixels.
        precision: One of `'fp32'`, `'fp16'`, `'int8'`.
        metadata: What was added by whoever exported it, such as threshold and preprocessing.
    """

    modalities: tuple[str, ...]
    size: tuple[int, int]
    precision: str
    metadata: Mapping[str, Any]


def onnx_package() -> Any:
    """Import onnx, which is optional.

    Raises:
        ModuleNotFoundError: If it is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingPackageError("ONNX files need further packages: pip install 'mmfas[deploy]'") from error
    return onnx


def require_export_packages() -> None:
    """Look for what an export to ONNX needs, before a model is traced for half a minute.

    Raises:
        ModuleNotFoundError: If one of them is not installed.
    """
    missing = [name for name in _EXPORT_PACKAGES if find_spec(name) is None]
    if missing:
        raise MissingPackageError(f"ONNX files need {', '.join(missing)}: pip install 'mmfas[deploy]'")


def pack(model: Any, header: OnnxHeader) -> bytes:
    """Turn a graph into the bytes of a file.

    Args:
        model: An `onnx.ModelProto`; its metadata is replaced, and what exporters note of source files is removed.
        header: What the file shall say of itself.

    Raises:
        ValueError: If the metadata is not plain, or has a key that the file itself writes.
    """
    clash = sorted(set(header.metadata) & set(RESERVED))
    if clash:
        raise InputError(f'metadata must not hold {clash}: the file writes {", ".join(RESERVED)} itself')
    entries = {
        'mmfas_format': FORMAT,
        'mmfas_version': __version__,
        'modalities': header.modalities,
        'size': header.size,
        'precision': header.precision,
        'score': _SCORE,
        **header.metadata,
        'sha256': _ZEROS,
    }
    for message in _messages(model):
        # Exporters note where in which file of this machine a node comes from.
        for name in ('metadata_props', 'doc_string'):
            if name in message.DESCRIPTOR.fields_by_name:
                message.ClearField(name)
    for key, value in entries.items():
        model.metadata_props.add(key=key, value=_to_json(key, value))
    content = model.SerializeToString(deterministic=True)
    place = content.rindex(_ZEROS.encode())
    digest = hashlib.sha256(content).hexdigest().encode()
    return content[:place] + digest + content[place + len(digest) :]


def unpack(content: bytes, name: str) -> OnnxHeader:
    """Check a file and read what it says of itself.

    Args:
        content: The bytes of the file.
        name: Its name, for messages.

    Raises:
        OnnxFileError: If it is damaged or not of `mmfas export`, or if it would make onnxruntime open other files.
        ModuleNotFoundError: If onnx is not installed.
    """
    model = _parse(content, name)
    raw = {entry.key: entry.value for entry in model.metadata_props}
    if not all(isinstance(text, str) for pair in raw.items() for text in pair):  # protobuf gives bytes then
        raise OnnxFileError(f"'{name}' is damaged: its metadata is not UTF-8; copy or export it again")
    if 'mmfas_format' not in raw or len(raw) < len(model.metadata_props):
        raise OnnxFileError(
            f"'{name}' does not come from `mmfas export`: it lacks the metadata of mmfas, or has some of it twice"
        )
    _check_digest(content, raw.get('sha256', ''), name)
    try:
        entries = {key: json.loads(value) for key, value in raw.items()}
        header = _header(entries)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise OnnxFileError(f"the metadata of '{name}' cannot be used: {error}") from error
    _check_graph(model, header, name)
    return header


def _parse(content: bytes, name: str) -> Any:
    """Parse a file without following anything that it names."""
    onnx = onnx_package()
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model_from_string(content)
    except DecodeError as error:
        raise OnnxFileError(f"'{name}' is no ONNX file, or is cut short: export it again") from error
    if not model.graph.node:
        raise OnnxFileError(f"'{name}' is no ONNX file: it holds no graph")
    return model


def _check_digest(content: bytes, entry: str, name: str) -> None:
    """Compare a file with the digest that it holds."""
    found = re.fullmatch('"([0-9a-f]{64})"', entry)
    digits = found[1].encode() if found else b''
    if not digits or content.count(digits) != 1:
        raise OnnxFileError(f"'{name}' does not hold one SHA-256 of itself: export it again")
    actual = hashlib.sha256(content.replace(digits, _ZEROS.encode())).hexdigest()
    if actual != found[1]:  # type: ignore[index]
        raise OnnxFileError(
            f"'{name}' is damaged or was changed after the export: its SHA-256 is {actual[:12]}..., but it was "
            f'written with {entry[1:13]}...; copy or export it again'
        )


def _header(entries: Mapping[str, Any]) -> OnnxHeader:
    """Read the metadata.

    Raises:
        ValueError: If an entry is not as this version writes it.
        KeyError: If one is missing.
    """
    if entries['mmfas_format'] != FORMAT or isinstance(entries['mmfas_format'], bool):
        raise InputError(f'mmfas_format is {entries["mmfas_format"]!r}, but this version of mmfas reads {FORMAT}')
    modalities, size, precision = entries['modalities'], entries['size'], entries['precision']
    if (
        not isinstance(modalities, list)
        or [m for m in MODALITIES if m in modalities] != modalities
        or not modalities
    ):
        raise InputError(f'modalities must be out of {MODALITIES} in this order, but are {modalities!r}')
    if not _is_size(size):
        raise InputError(f'size must be rows and columns in pixels, but is {size!r}')
    if precision not in PRECISIONS:
        raise InputError(f'precision must be one of {PRECISIONS}, but is {precision!r}')
    rest = {key: value for key, value in entries.items() if key not in RESERVED}
    return OnnxHeader(tuple(modalities), (size[0], size[1]), precision, rest)


def _is_size(value: Any) -> bool:
    """Tell whether a value is rows and columns."""
    return isinstance(value, list) and len(value) == 2 and all(type(n) is int and 0 < n < 65536 for n in value)


def _check_graph(model: Any, header: OnnxHeader, name: str) -> None:
    """Refuse a graph that is not that of the metadata, needs foreign code, or names other files."""
    inputs, outputs = ([value.name for value in values] for values in (model.graph.input, model.graph.output))
    if inputs != [*header.modalities, 'present'] or tuple(outputs) != OUTPUTS:
        raise OnnxFileError(f"the graph of '{name}' takes {inputs} and returns {outputs}: it is not of mmfas")
    for message in _messages(model):
        kind = message.DESCRIPTOR.name
        if kind == 'TensorProto' and (message.external_data or message.data_location):
            raise OnnxFileError(f"'{name}' keeps weights in other files, which are never read: export it again")
        if kind == 'NodeProto' and (message.domain not in _DOMAINS or message.op_type == _OPENS_FILES):
            raise OnnxFileError(
                f"'{name}' uses the operator {message.domain}::{message.op_type}, which is not one of "
                "onnxruntime's own: export it again"
            )


def _messages(message: Any) -> Iterator[Any]:
    """Walk through all parts of a graph, those of subgraphs and functions too."""
    waiting = [message]
    while waiting:
        current = waiting.pop()
        yield current
        for field, value in current.ListFields():
            if field.message_type is not None:
                waiting.extend(value if isinstance(value, Sequence) else [value])


def _to_json(key: str, value: Any) -> str:
    """Return a value of the metadata as text."""
    try:
        return json.dumps(value, allow_nan=False, ensure_ascii=False, sort_keys=True)
    except (TypeError, ValueError) as error:
        raise InputError(
            f'metadata holds plain finite values only, but {key} is {value!r:.80}: {error}'
        ) from error
