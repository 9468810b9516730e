"""What the head of an image file says, in the same words for every format."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ['ImageHeader', 'turned']

#: Orientations of EXIF whose picture lies on its side.
_ON_ITS_SIDE = (5, 6, 7, 8)


@dataclass(frozen=True)
class ImageHeader:
    """Size and kind of a picture, known before a pixel is unpacked.

    Args:
        format: `'JPEG'`, `'PNG'`, `'TIFF'`, `'WebP'`, `'BMP'` or `'PNM'`.
        width: As stored, before the orientation is obeyed.
        height: As stored.
        channels: Values per pixel: 1 grey, 2 grey and alpha, 3 colour (a palette too), 4 colour and alpha.
        bits: Bits per value.
        uses_all_bits: Whether white is the highest value of so many bits; of a PGM the file may name a lower one.
        orientation: 1..8 as in EXIF, where the decoder does not obey it by itself.
        num_pictures: Pictures, frames or pages of equal standing in the file.
        key: Value of a grey picture that is transparent, or None.
        refusal: Why this kind of picture is not read; empty if it is.
    """

    format: str
    width: int
    height: int
    channels: int
    bits: int
    uses_all_bits: bool = True
    orientation: int = 1
    num_pictures: int = 1
    key: int | None = None
    refusal: str = ''

    @property
    def unpacked_bytes(self) -> int:
        """Memory that the picture takes: the decoded values, and at least three bytes per pixel once loaded."""
        return self.width * self.height * max(3, self.channels * -(-self.bits // 8))

    @property
    def has_alpha(self) -> bool:
        """Whether pixels may be transparent."""
        return self.channels in (2, 4) or self.key is not None


def turned(header: ImageHeader) -> str:
    """Describe how the orientation turns a picture.

    Args:
        header: Of the picture.

    Returns:
        Such as `'orientation 6, on its side'`; `'upright'` without one.
    """
    if header.orientation == 1:
        return 'upright'
    return f'orientation {header.orientation}' + (', on its side' if header.orientation in _ON_ITS_SIDE else '')
