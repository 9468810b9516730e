"""ONNX files carry their metadata and a digest; damaged and foreign ones are refused in one sentence."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmfas.structures import MODALITIES
from mmfas.utils.errors import InputError

onnx = pytest.importorskip('onnx', reason="the extra deploy is missing: pip install 'mmfas[deploy]'")

from tiny_graph import SIZE, tiny_file, tiny_graph  # noqa: E402

from mmfas.deploy.onnx_file import OnnxFileError, OnnxHeader, pack, unpack  # noqa: E402

METADATA = dict(threshold=0.1, names=['a', 'ü'], crop=None)


def resealed(model: Any) -> bytes:
    """Write a changed graph with a digest that fits, as an attacker would."""
    for entry in model.metadata_props:
        if entry.key == 'sha256':
            entry.value = json.dumps('0' * 64)
    content = model.SerializeToString(deterministic=True)
    return content.replace(b'0' * 64, hashlib.sha256(content).hexdigest().encode())


def changed(change: Callable[[Any], None]) -> bytes:
    """Change the graph of a good file, and make the digest fit again."""
    model = onnx.load_model_from_string(tiny_file(**METADATA))
    change(model)
    return resealed(model)


def test_metadata_comes_back() -> None:
    header = unpack(tiny_file(**METADATA), 'a.onnx')
    assert header == OnnxHeader(MODALITIES, SIZE, 'fp32', METADATA)


def test_digest_is_that_of_the_file_with_zeros_in_its_place() -> None:
    content = tiny_file()
    model = onnx.load_model_from_string(content)
    digest = json.loads({entry.key: entry.value for entry in model.metadata_props}['sha256'])
    assert hashlib.sha256(content.replace(digest.encode(), b'0' * 64)).hexdigest() == digest


def test_same_graph_gives_the_same_bytes() -> None:
    assert tiny_file(**METADATA) == tiny_file(**METADATA)


def test_notes_of_exporters_are_removed() -> None:
    graph = tiny_graph()
    graph.graph.node[0].metadata_props.add(key='stack_trace', value='/home/someone/secret.py')
    graph.graph.doc_string = 'made in /home/someone'
    assert b'someone' not in tiny_file(graph)


@pytest.mark.parametrize('key', ['sha256', 'modalities', 'precision'])
def test_keys_of_the_file_itself_are_not_taken(key: str) -> None:
    with pytest.raises(InputError, match=f"metadata must not hold \\['{key}'\\]"):
        tiny_file(**{key: 'x'})


@pytest.mark.parametrize('value', [float('nan'), float('inf'), {1, 2}, object(), np.float32(1)])
def test_metadata_is_plain_and_finite(value: Any) -> None:
    with pytest.raises(InputError, match='metadata holds plain finite values only, but threshold is'):
        pack(tiny_graph(), OnnxHeader(MODALITIES, SIZE, 'fp32', dict(threshold=value)))


def test_every_damaged_byte_is_noticed() -> None:
    content = bytearray(tiny_file(**METADATA))
    rng = random.Random(0)
    for place in [*range(0, len(content), 97), len(content) - 1]:
        damaged = bytearray(content)
        damaged[place] ^= 1 << rng.randrange(8)
        with pytest.raises(OnnxFileError):
            unpack(bytes(damaged), 'a.onnx')


def test_every_cut_is_noticed() -> None:
    content = tiny_file(**METADATA)
    for length in [*range(0, len(content), 53), len(content) - 1]:
        with pytest.raises(OnnxFileError):
            unpack(content[:length], 'a.onnx')


@pytest.mark.parametrize('content', [b'', b'\x00' * 100, b'PK\x03\x04' + b'a' * 60, b'\x80\x04.', b'a,b\n1,2\n'])
def test_other_files_are_refused(content: bytes) -> None:
    with pytest.raises(OnnxFileError, match="'a.onnx' (is no ONNX file|does not come from `mmfas export`)"):
        unpack(content, 'a.onnx')


def test_onnx_files_of_others_are_refused() -> None:
    with pytest.raises(OnnxFileError, match="'a.onnx' does not come from `mmfas export`: it lacks the metadata"):
        unpack(tiny_graph().SerializeToString(), 'a.onnx')


def test_weights_in_other_files_are_refused(tmp_path: Path) -> None:
    def name_a_file(model: Any) -> None:
        weight = model.graph.initializer[-1]
        onnx.external_data_helper.set_external_data(weight, str(tmp_path / 'weights.bin'))
        weight.ClearField('raw_data')

    with pytest.raises(OnnxFileError, match='keeps weights in other files, which are never read'):
        unpack(changed(name_a_file), 'a.onnx')


def test_weights_in_other_files_are_refused_inside_of_branches_too() -> None:
    def name_a_file(model: Any) -> None:
        value = onnx.numpy_helper.from_array(np.zeros(4, np.float32), 'hidden')
        onnx.external_data_helper.set_external_data(value, '/etc/passwd')
        value.ClearField('raw_data')
        inner = onnx.helper.make_graph(
            [onnx.helper.make_node('Constant', [], ['c'], value=value)], 'branch', [], []
        )
        model.graph.node.append(onnx.helper.make_node('If', ['live'], ['d'], then_branch=inner, else_branch=inner))

    with pytest.raises(OnnxFileError, match='keeps weights in other files, which are never read'):
        unpack(changed(name_a_file), 'a.onnx')


@pytest.mark.parametrize(('domain', 'kind'), [('com.evil', 'Run'), ('com.microsoft', 'EPContext')])
def test_operators_from_elsewhere_are_refused(domain: str, kind: str) -> None:
    def add_node(model: Any) -> None:
        model.graph.node.append(onnx.helper.make_node(kind, ['score'], ['more'], domain=domain))

    with pytest.raises(
        OnnxFileError, match=f"uses the operator {domain}::{kind}, which is not one of onnxruntime's"
    ):
        unpack(changed(add_node), 'a.onnx')


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        ('mmfas_format', '2', 'mmfas_format is 2, but this version of mmfas reads 1'),
        ('mmfas_format', 'true', 'mmfas_format is True'),
        ('modalities', '["ir", "rgb", "depth"]', 'modalities must be out of'),
        ('modalities', '"rgb"', 'modalities must be out of'),
        ('modalities', '[]', 'modalities must be out of'),
        ('size', '[8]', 'size must be rows and columns'),
        ('size', '[8, 0]', 'size must be rows and columns'),
        ('size', '[8, 6.0]', 'size must be rows and columns'),
        ('precision', '"fp8"', 'precision must be one of'),
        ('precision', '{', 'Expecting property name'),
    ],
)
def test_metadata_of_another_kind_is_refused(key: str, value: str, message: str) -> None:
    def change(model: Any) -> None:
        for entry in model.metadata_props:
            if entry.key == key:
                entry.value = value

    with pytest.raises(OnnxFileError, match=f"the metadata of 'a.onnx' cannot be used: {message}"):
        unpack(changed(change), 'a.onnx')


def test_missing_and_repeated_metadata_is_refused() -> None:
    def drop(model: Any) -> None:
        del model.metadata_props[2]

    def repeat(model: Any) -> None:
        model.metadata_props.add(key='size', value='[8, 6]')

    with pytest.raises(OnnxFileError, match="the metadata of 'a.onnx' cannot be used: 'modalities'"):
        unpack(changed(drop), 'a.onnx')
    with pytest.raises(OnnxFileError, match='lacks the metadata of mmfas, or has some of it twice'):
        unpack(changed(repeat), 'a.onnx')


def test_graph_of_other_inputs_is_refused() -> None:
    def rename(model: Any) -> None:
        model.graph.input[0].name = 'picture'

    with pytest.raises(
        OnnxFileError, match="the graph of 'a.onnx' takes \\['picture', 'depth', 'ir', 'present'\\]"
    ):
        unpack(changed(rename), 'a.onnx')
