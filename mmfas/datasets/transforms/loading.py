"""Loading: files of one sample -> three registered 8-bit RGB-ordered images and which of them exist."""

from __future__ import annotations

from typing import Any

import cv2
import mmcv
import numpy as np
from mmcv.transforms import BaseTransform

from mmfas.datasets.image_files import JPEG_START, decode_image, read_image_bytes, read_padisi
from mmfas.datasets.randomness import numpy_draws_only
from mmfas.registry import TRANSFORMS
from mmfas.structures import MODALITIES

__all__ = ['LoadMultiModalImages']

_READ_RGB = getattr(cv2, 'IMREAD_COLOR_RGB', None)  # since OpenCV 4.10


def _decode_rgb(data: bytes) -> np.ndarray:
    """Decode an image file as uint8 (H, W, 3), RGB order."""
    if _READ_RGB is None:
        return cv2.cvtColor(decode_image(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    return decode_image(data, _READ_RGB)


def _make_table(limits: tuple[float, float] | None) -> np.ndarray | None:
    """Build the 16-bit to 8-bit table that maps `limits` linearly onto 0..255."""
    if limits is None:
        return None
    low, high = limits
    if not low < high:
        raise ValueError(f'a range must be (low, high) with low < high, but got {limits}')
    scaled = (np.arange(2**16, dtype=np.float64) - low) / (high - low) * 255
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


@TRANSFORMS.register_module()
@numpy_draws_only
class LoadMultiModalImages(BaseTransform):
    """Load the images of one sample as 8-bit, three channels, in RGB order.

    Image files (grey or colour, 8 or 16 bit) and PADISI's `.npz` are read. Grey is repeated to three channels. A
    16-bit depth or IR image becomes 8-bit by a stated range: `low` -> 0, `high` -> 255, clipped; so a depth of 0
    (no reading) stays black as long as `low` >= 0. A 16-bit colour image is divided by 256.

    Required Keys:
        img_paths, modalities, sample_id, source_line
    Added Keys:
        rgb, depth, ir (uint8 (H, W, 3); zeros where absent), present (dict modality -> bool)

    Args:
        depth_range_mm: Depths (low, high) that become 0 and 255, in the unit of the files, usually mm. Needed for
            16-bit depth.
        ir_range: Raw values (low, high) that become 0 and 255. Needed for 16-bit IR.
        allow_size_mismatch: Resize depth and IR to the size of the first modality instead of refusing other sizes.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is broken, of another size or of an unsupported kind. All messages name modality,
            path and list line.
    """

    def __init__(
        self,
        *,
        depth_range_mm: tuple[float, float] | None = None,
        ir_range: tuple[float, float] | None = None,
        allow_size_mismatch: bool = False,
    ) -> None:
        self.depth_range_mm = depth_range_mm
        self.ir_range = ir_range
        self.allow_size_mismatch = allow_size_mismatch
        self._tables = {'depth': _make_table(depth_range_mm), 'ir': _make_table(ir_range)}

    @classmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return a tiny config that builds this transform."""
        return {'type': cls.__name__, 'depth_range_mm': (300, 1500)}

    def _load_file(self, modality: str, path: str) -> np.ndarray:
        """Read one image file as uint8 (H, W, 3), RGB order."""
        data = read_image_bytes(path)
        if modality == 'rgb' or data.startswith(JPEG_START):  # a JPEG has 8 bits
            return _decode_rgb(data)
        image = decode_image(data, cv2.IMREAD_UNCHANGED)
        if image.dtype == np.uint16:
            table = self._tables[modality]
            if table is None:
                name = 'depth_range_mm' if modality == 'depth' else 'ir_range'
                raise ValueError(f'the image has 16 bits: say which range becomes 0..255 by {name}=(low, high)')
            image = table[image]
        channels = 1 if image.ndim == 2 else image.shape[2]
        if image.dtype != np.uint8 or channels not in (1, 3):
            raise ValueError(f'expected 8 or 16 bits and 1 or 3 channels, but got {image.dtype}, {channels}')
        return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB if channels == 1 else cv2.COLOR_BGR2RGB)

    def _load_all(self, results: dict[str, Any]) -> dict[str, np.ndarray]:
        """Read every image that the sample has."""
        paths, wanted = results['img_paths'], results['modalities']
        modality, path = 'npz', paths.get('npz', '')
        try:
            if 'npz' in paths:
                return read_padisi(path, wanted)
            images = {}
            for modality in wanted:
                if modality in paths:
                    path = paths[modality]
                    images[modality] = self._load_file(modality, path)
        except (ValueError, FileNotFoundError) as error:
            raise type(error)(f'{modality} image {path} ({results["source_line"]}): {error}') from error
        return images

    def _match_sizes(self, images: dict[str, np.ndarray], results: dict[str, Any]) -> None:
        """Check that all images are of one size, or make them so where that is allowed."""
        first, reference = next(iter(images.items()))
        height, width = reference.shape[:2]
        for modality, image in images.items():
            if image.shape[:2] == (height, width):
                continue
            if not self.allow_size_mismatch:
                path = results['img_paths'].get(modality)
                raise ValueError(
                    f'{modality} image {path} ({results["source_line"]}): is {image.shape[1]}x{image.shape[0]}, '
                    f'but {first} is {width}x{height}; register them, or set allow_size_mismatch=True to resize'
                )
            images[modality] = mmcv.imresize(image, (width, height))

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Load the images.

        Args:
            results: Sample with `img_paths`, `modalities`, `sample_id` and `source_line`.

        Returns:
            The sample with the images and `present`.
        """
        images = self._load_all(results)
        if not images:
            raise ValueError(f'{results["sample_id"]} ({results["source_line"]}): none of the modalities is there')
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
            f'allow_size_mismatch={self.allow_size_mismatch})'
        )
