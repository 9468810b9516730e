"""Loading: files of one sample -> three registered 8-bit RGB-ordered images and which of them exist."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from typing import Any, NamedTuple

import cv2
import mmcv
import numpy as np
from mmcv.transforms import BaseTransform

from mmfas.datasets.file_backends import check_backend_args, open_backend
from mmfas.datasets.image_files import (
    MAX_SAMPLE_MB,
    as_colour,
    decode_colour,
    decode_raw,
    read_image_bytes,
    read_padisi,
)
from mmfas.datasets.memory_images import is_encoded, kind_of, read_memory_image
from mmfas.datasets.randomness import numpy_draws_only
from mmfas.registry import TRANSFORMS
from mmfas.structures import MODALITIES
from mmfas.utils.errors import InputError, restate
from mmfas.utils.numbers import is_number

__all__ = ['NO_READING', 'LoadMultiModalImages', 'LoadedFile']

#: Raw depth values that mean "no reading": 0 in all common cameras, 65535 in some software.
NO_READING = (0, 65535)


class LoadedFile(NamedTuple):
    """One picture on its way into a sample.

    Args:
        modality: rgb, depth or ir.
        path: Its file; empty if it came from memory.
        data: Content of the file; empty of an archive, an array or a Pillow picture.
        raw: (H, W) or (H, W, 3) as the file has it, uint8 or uint16, blue first; None of rgb and of an archive.
        image: (H, W, 3), uint8, as the sample gets it.
    """

    modality: str
    path: str
    data: bytes
    raw: np.ndarray | None
    image: np.ndarray


def _check_range(name: str, limits: Any) -> None:
    """Check that a range is a pair of numbers that rises."""
    is_pair = isinstance(limits, Sequence) and not isinstance(limits, str) and len(limits) == 2
    if limits is not None and not (is_pair and all(map(is_number, limits))):
        raise InputError(f'{name} must be two numbers (low, high), but got {limits!r}')
    if limits is not None and not -math.inf < limits[0] < limits[1] < math.inf:
        raise InputError(f'{name}: a range must be (low, high) with low < high, both finite, but got {limits}')


def _check_no_reading(values: Any) -> tuple[int, ...]:
    """Check that the values that mean "no reading" are 16-bit numbers."""
    listed = isinstance(values, Sequence) and not isinstance(values, str)
    if not (listed and all(type(value) is int and 0 <= value < 2**16 for value in values)):
        raise InputError(
            f'no_reading must be whole numbers between 0 and 65535, such as (0, 65535), got {values!r}'
        )
    return tuple(values)


def _make_table(limits: tuple[float, float] | None, no_reading: Sequence[int] = ()) -> np.ndarray | None:
    """Build the 16-bit to 8-bit table that maps `limits` linearly onto 0..255, and `no_reading` to 0."""
    if limits is None:
        return None
    low, high = limits
    scaled = (np.arange(2**16, dtype=np.float64) - low) / (high - low) * 255
    table = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    table[list(no_reading)] = 0
    return table


def _place_of(results: Mapping[str, Any]) -> str:
    """Name the list line of a sample in messages, if it has one."""
    line = results.get('source_line')
    return f' ({line})' if line else ''


def _name_of(modality: str, results: Mapping[str, Any]) -> str:
    """Name a picture of a sample in messages: by its file, or by the sample if it came from memory."""
    arrays = results.get('img_arrays', {})
    if modality in arrays:
        return f'{modality} {kind_of(arrays[modality])} of {results["sample_id"]}{_place_of(results)}'
    return f'{modality} image {results.get("img_paths", {}).get(modality)}{_place_of(results)}'


def _check_sources(results: Mapping[str, Any], paths: Mapping[str, str], arrays: Mapping[str, Any]) -> None:
    """Check that pictures in memory are those of known modalities, which have no file as well."""
    for modality in arrays:
        if modality not in MODALITIES:
            problem = f'img_arrays has {modality!r}, but the modalities are {", ".join(MODALITIES)}'
        elif modality in paths or 'npz' in paths:
            problem = f'{modality} is given in memory and as a file; give one of them'
        else:
            continue
        raise InputError(f'{results["sample_id"]}{_place_of(results)}: {problem}')


@TRANSFORMS.register_module()
@numpy_draws_only
class LoadMultiModalImages(BaseTransform):
    """Load the images of one sample as 8-bit, three channels, in RGB order.

    Image files and PADISI's `.npz` are read. One rule holds for every modality and format (orientation, alpha, bit
    depth, animations, damage): the table in `mmfas.datasets.image_files` and in `docs/en/own_data.md`. Grey is
    repeated to three channels. A 16-bit depth or IR image becomes 8-bit by a stated range: `low` -> 0, `high` ->
    255, clipped; depth values that mean "no reading" become 0, black. 16 bits of rgb are divided by 256.

    Pictures may be in memory instead (`img_arrays`, see `mmfas.datasets.memory_images`): rgb (H, W, 3) uint8, red
    first; depth (H, W) uint16 in the unit of `depth_range_mm`, or uint8; ir (H, W) uint16 or uint8; or Pillow
    pictures, or the bytes of image files. They give the same images as files with these values. A sample may have
    some modalities in memory and others as files.

    Required Keys:
        modalities, sample_id, source_line (may be left out), img_paths or img_arrays (modality -> file or picture)
    Added Keys:
        rgb, depth, ir (uint8 (H, W, 3); zeros where absent), present (dict modality -> bool)

    Args:
        depth_range_mm: Depths (low, high) that become 0 and 255, in the unit of the files, usually mm. Needed for
            16-bit depth.
        ir_range: Raw values (low, high) that become 0 and 255. Needed for 16-bit IR.
        allow_size_mismatch: Resize depth and IR to the size of the first modality instead of refusing other sizes.
        no_reading: Raw values of depth files, 8 or 16 bits, that mean "no reading". Not applied to JPEG, whose
            values are not exact, nor to `.npz`.
        max_sample_mb: Memory that the files of one sample may take once unpacked, in megabytes (10^6 bytes); more
            is refused before it is unpacked.
        backend_args: Where files are, if not on this machine's disk: a backend of `mmengine.fileio` such as
            `dict(backend='http')`; `dict(backend='packed', file='faces.tar', root='data/cefa')` for a tar or zip.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is broken, of another size, too large or of an unsupported kind. All messages name
            modality, path and list line.
    """

    def __init__(
        self,
        *,
        depth_range_mm: tuple[float, float] | None = None,
        ir_range: tuple[float, float] | None = None,
        allow_size_mismatch: bool = False,
        no_reading: Sequence[int] = NO_READING,
        max_sample_mb: float = MAX_SAMPLE_MB,
        backend_args: Mapping[str, Any] | None = None,
    ) -> None:
        _check_range('depth_range_mm', depth_range_mm)
        _check_range('ir_range', ir_range)
        if not (is_number(max_sample_mb) and max_sample_mb > 0):
            raise InputError(f'max_sample_mb must be a number above 0, got {max_sample_mb!r}')
        self.depth_range_mm = depth_range_mm
        self.ir_range = ir_range
        self.allow_size_mismatch = allow_size_mismatch
        self.no_reading = _check_no_reading(no_reading)
        self.max_sample_mb = max_sample_mb
        self.backend_args = check_backend_args(backend_args)
        self._backend: Any = None
        self._tables = {'depth': _make_table(depth_range_mm, self.no_reading), 'ir': _make_table(ir_range)}
        self._holes_8_bit = [value for value in self.no_reading if 0 < value < 256]

    @classmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return a tiny config that builds this transform."""
        return {'type': cls.__name__, 'depth_range_mm': (300, 1500)}

    def _to_eight_bits(self, modality: str, raw: np.ndarray, *, exact: bool) -> np.ndarray:
        """Bring a depth or IR picture to uint8 (H, W, 3), RGB order."""
        if raw.dtype == np.uint16:
            table = self._tables[modality]
            if table is None:
                name = 'depth_range_mm' if modality == 'depth' else 'ir_range'
                raise InputError(f'the image has 16 bits: say which range becomes 0..255 by {name}=(low, high)')
            raw = table[raw]
        elif modality == 'depth' and exact and self._holes_8_bit:
            raw = np.where(np.isin(raw, self._holes_8_bit), np.uint8(0), raw)
        return cv2.cvtColor(raw, cv2.COLOR_GRAY2RGB if raw.ndim == 2 else cv2.COLOR_BGR2RGB)

    def _load_file(self, modality: str, path: str, data: bytes, max_mb: float) -> LoadedFile:
        """Read the content of one image file."""
        if modality == 'rgb':
            return LoadedFile(modality, path, data, None, decode_colour(data, rgb=True, max_mb=max_mb))
        raw = decode_raw(data, max_mb=max_mb)
        exact = not data.startswith(b'\xff\xd8')
        return LoadedFile(modality, path, data, raw, self._to_eight_bits(modality, raw, exact=exact))

    def _load_from_memory(self, modality: str, given: Any, max_mb: float) -> LoadedFile:
        """Read one picture that is in memory."""
        if is_encoded(given):
            return self._load_file(modality, '', bytes(given), max_mb)
        raw, exact = read_memory_image(given, max_mb=max_mb)
        if modality == 'rgb':
            return LoadedFile(modality, '', b'', None, as_colour(raw, rgb=True))
        return LoadedFile(modality, '', b'', raw, self._to_eight_bits(modality, raw, exact=exact))

    def _load_all(
        self, results: dict[str, Any], watch: Callable[[LoadedFile], None] = lambda file: None
    ) -> dict[str, np.ndarray]:
        """Read every image that the sample has."""
        paths, arrays, wanted = results.get('img_paths', {}), results.get('img_arrays', {}), results['modalities']
        _check_sources(results, paths, arrays)
        modality = 'npz'
        images, left = {}, self.max_sample_mb
        try:
            if 'npz' in paths:
                source = paths['npz'] if self.backend_args is None else BytesIO(self._read(paths['npz']))
                images = read_padisi(source, wanted, max_mb=left)
                for modality, image in images.items():
                    watch(LoadedFile(modality, paths['npz'], b'', None, image))
                return images
            for modality in wanted:
                if modality not in paths and modality not in arrays:
                    continue
                if modality in arrays:
                    file = self._load_from_memory(modality, arrays[modality], left)
                else:
                    file = self._load_file(modality, paths[modality], self._read(paths[modality]), left)
                watch(file)
                images[modality] = file.image
                left -= max(file.image.nbytes, 0 if file.raw is None else file.raw.nbytes) / 1e6
        except (ValueError, FileNotFoundError) as error:
            raise restate(error, f'{_name_of(modality, results)}: {error}') from error
        return images

    def _read(self, path: str) -> bytes:
        """Read a whole file, wherever it is."""
        if self.backend_args is not None and self._backend is None:
            self._backend = open_backend(self.backend_args)
        return read_image_bytes(path, self._backend)

    def _match_sizes(self, images: dict[str, np.ndarray], results: dict[str, Any]) -> None:
        """Check that all images are of one size, or make them so where that is allowed."""
        first, reference = next(iter(images.items()))
        height, width = reference.shape[:2]
        for modality, image in images.items():
            if image.shape[:2] == (height, width):
                continue
            if not self.allow_size_mismatch:
                raise InputError(
                    f'{_name_of(modality, results)}: is {image.shape[1]}x{image.shape[0]}, '
                    f'but {first} is {width}x{height}; register them, or set allow_size_mismatch=True to resize'
                )
            images[modality] = mmcv.imresize(image, (width, height))

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Load the images.

        Args:
            results: Sample with `modalities`, `sample_id`, `source_line`, and `img_paths` or `img_arrays`.

        Returns:
            The sample with the images and `present`.
        """
        return self.load(results)

    def load(
        self, results: dict[str, Any], watch: Callable[[LoadedFile], None] = lambda file: None
    ) -> dict[str, Any]:
        """Load the images and show every file to a watcher, such as the checks of `verify_dataset`.

        Args:
            results: As for `transform`.
            watch: Called with every file that was read.

        Returns:
            The sample with the images and `present`.
        """
        images = self._load_all(results, watch)
        if not images:
            raise InputError(f'{results["sample_id"]}{_place_of(results)}: none of the modalities is there')
        self._match_sizes(images, results)
        shape = next(iter(images.values())).shape
        results['present'] = {m: m in images for m in MODALITIES}
        for modality in MODALITIES:
            image = images.get(modality)
            results[modality] = np.zeros(shape, np.uint8) if image is None else image
        return results

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(depth_range_mm={self.depth_range_mm}, ir_range={self.ir_range}, '
            f'allow_size_mismatch={self.allow_size_mismatch}, no_reading={self.no_reading}, '
            f'max_sample_mb={self.max_sample_mb})'
        )
