"""TIFF (classic and BigTIFF, both byte orders), and the tags of EXIF, which are stored the same way.

Read: 8 and 16 bits unsigned, 1 bit, grey, colour and palette, strips and tiles, uncompressed or compressed with
LZW, Deflate, PackBits or JPEG. The decoder obeys the orientation by itself.

Source: TIFF 6.0 (Adobe, 1992), TIFF Technical Note 2 (JPEG), BigTIFF design of libtiff.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator, Mapping

from mmfas.utils.errors import InputError

from .header import ImageHeader
from .jpeg_scan import check_scan

__all__ = ['check_whole', 'orientation_of', 'read_header', 'read_tags']

Tags = Mapping[int, tuple[int, ...]]

_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 254, 256, 257, 258, 259, 262
_STRIP_OFFSETS, _ORIENTATION, _SAMPLES, _ROWS, _STRIP_SIZES, _PLANAR = 273, 274, 277, 278, 279, 284
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_SIZES = 322, 323, 324, 325
_SAMPLE_FORMAT, _JPEG_TABLES = 339, 347
_NONE, _LZW, _JPEG, _DEFLATE, _OLD_DEFLATE, _PACKBITS = 1, 5, 7, 8, 32946, 32773
#: Types of tags that hold whole numbers -> code of `struct`.
_TYPES = {1: 'B', 3: 'H', 4: 'I', 6: 'b', 7: 'B', 8: 'h', 9: 'i', 13: 'I', 16: 'Q', 17: 'q', 18: 'Q'}
_COLOURS = {0: 'inverted grey', 5: 'CMYK', 8: 'CIELab', 9: 'ICCLab', 10: 'ITULab', 32803: 'a raw sensor mosaic'}
_MOST_PAGES = 10_000


def _read_directory(data: bytes, at: int, *, order: str, big: bool) -> tuple[Tags, int]:
    """Read one directory of tags and the place of the next."""
    entry, count_code, value_size = ('HHQ', 'Q', 8) if big else ('HHI', 'H', 4)
    (number,) = struct.unpack_from(order + count_code, data, at)
    at += struct.calcsize(order + count_code)
    tags = {}
    for _ in range(number):
        tag, kind, count = struct.unpack_from(order + entry, data, at)
        at += struct.calcsize(order + entry)
        if code := _TYPES.get(kind):
            size = count * struct.calcsize(order + code)
            place = at if size <= value_size else struct.unpack_from(order + ('Q' if big else 'I'), data, at)[0]
            if place + size > len(data):  # before `struct` unpacks millions of values
                raise InputError('the TIFF data are cut off')
            tags[tag] = struct.unpack_from(f'{order}{count}{code}', data, place)
        at += value_size
    return tags, struct.unpack_from(order + ('Q' if big else 'I'), data, at)[0]


def read_tags(data: bytes) -> Iterator[Tags]:
    """Read the tags of every page, those that hold whole numbers.

    Args:
        data: Content of the file, or EXIF behind its `Exif` mark.

    Yields:
        Tag -> values, page by page.

    Raises:
        ValueError: If the structure is broken.
    """
    order = {b'II': '<', b'MM': '>'}.get(data[:2], '')
    try:
        (magic,) = struct.unpack_from(order + 'H', data, 2)
        if not order or magic not in (42, 43):
            raise InputError('the TIFF data have no valid head')
        at = struct.unpack_from(order + ('Q' if magic == 43 else 'I'), data, 8 if magic == 43 else 4)[0]
        seen: set[int] = set()
        while at and at not in seen and len(seen) < _MOST_PAGES:
            seen.add(at)
            tags, at = _read_directory(data, at, order=order, big=magic == 43)
            yield tags
    except struct.error:
        raise InputError('the TIFF data are cut off') from None


def orientation_of(exif: bytes) -> int:
    """Read the orientation out of EXIF.

    Args:
        exif: With or without the mark `Exif` in front.

    Returns:
        1..8; 1 where there is none or the tags cannot be read, since the picture does not depend on them.
    """
    try:
        tags = next(read_tags(exif.removeprefix(b'Exif\0\0')), {})
    except ValueError:
        return 1
    value = tags.get(_ORIENTATION, (1,))
    return value[0] if len(value) == 1 and 1 <= value[0] <= 8 else 1


def _one(tags: Tags, tag: int, default: int | None = None) -> int:
    """Return the single value of a tag."""
    values = tags.get(tag, () if default is None else (default,))
    if not values:
        raise InputError(f'the TIFF data lack tag {tag}')
    return values[0]


def _refusal(tags: Tags, samples: int) -> str:
    """Say why this kind of TIFF is not read."""
    bits = set(tags.get(_BITS, (1,)))
    formats = set(tags.get(_SAMPLE_FORMAT, (1,)))
    photometric = _one(tags, _PHOTOMETRIC, 1)
    compression = _one(tags, _COMPRESSION, _NONE)
    if formats - {1, 4}:
        kinds = {2: 'signed', 3: 'floating point', 5: 'complex', 6: 'complex'}
        named = ' and '.join(kinds.get(value, f'sample format {value}') for value in sorted(formats - {1, 4}))
        return f'the values are {named} numbers; expected 8 or 16 bits unsigned'
    if len(bits) > 1 or bits - {1, 8, 16}:
        return f'the values have {", ".join(map(str, sorted(bits)))} bits; expected 8 or 16'
    if photometric in _COLOURS and not (photometric == 0 and bits != {16}):
        return f'the colours are {_COLOURS[photometric]}; expected grey or RGB'
    if compression not in (_NONE, _LZW, _JPEG, _DEFLATE, _OLD_DEFLATE, _PACKBITS):
        return f'compression {compression} of TIFF is not read; use Deflate, LZW or none'
    if samples > 1 and _one(tags, _PLANAR, 1) != 1:
        return 'the channels are stored one after the other (planar); store them pixel by pixel'
    return ''


def read_header(data: bytes) -> ImageHeader:
    """Read size and kind of the first page, and count the pages.

    Args:
        data: Content of the file.

    Returns:
        The header; pages that are smaller copies of another one are not counted.

    Raises:
        ValueError: If the structure is broken.
    """
    pages = list(read_tags(data))
    if not pages:
        raise InputError('the TIFF data hold no picture')
    tags = pages[0]
    samples = _one(tags, _SAMPLES, 1)
    copies = sum(bool(_one(page, _SUBFILE, 0) & 1) for page in pages[1:])
    return ImageHeader(
        'TIFF',
        _one(tags, _WIDTH),
        _one(tags, _HEIGHT),
        channels=3 if _one(tags, _PHOTOMETRIC, 1) == 3 else samples,
        bits=max(tags.get(_BITS, (1,))),
        num_pictures=len(pages) - copies,
        refusal=_refusal(tags, samples),
    )


def _blocks(data: bytes, tags: Tags) -> Iterator[tuple[bytes, int]]:
    """Yield the stored bytes of every strip or tile, and how many bytes they unpack to."""
    width, height = _one(tags, _WIDTH), _one(tags, _HEIGHT)
    bits = _one(tags, _SAMPLES, 1) * max(tags.get(_BITS, (1,)))
    tiled = _TILE_OFFSETS in tags
    wide, high = (
        (_one(tags, _TILE_WIDTH), _one(tags, _TILE_HEIGHT)) if tiled else (width, _one(tags, _ROWS, height))
    )
    high = high if tiled else min(high, height)
    if min(wide, high) < 1:
        raise InputError('the TIFF data have blocks without pixels')
    row = -(-wide * bits // 8)
    count = -(-width // wide) * -(-height // high)
    offsets = tags.get(_TILE_OFFSETS if tiled else _STRIP_OFFSETS, ())
    sizes = tags.get(_TILE_SIZES if tiled else _STRIP_SIZES, ())
    if len(offsets) != count or len(sizes) not in (count, 0):
        raise InputError(f'the TIFF data should have {count} blocks, but list {len(offsets)}')
    for number, offset in enumerate(offsets):
        rows = high if tiled else min(high, height - number * high)
        size = sizes[number] if sizes else row * rows
        if offset + size > len(data):
            raise InputError('the TIFF data are cut off')
        yield data[offset : offset + size], row * rows


def _packbits_size(block: bytes) -> int:
    """Return how many bytes PackBits data unpack to, or -1 if they end within a run."""
    at = size = 0
    while at < len(block):
        code = block[at]
        if code < 128:
            at, size = at + 2 + code, size + 1 + code
        else:  # 128 does nothing
            at, size = at + (1 if code == 128 else 2), size + (0 if code == 128 else 257 - code)
    return size if at == len(block) else -1


def _as_grey(data: bytes, block: bytes, size: int) -> bytes:
    """Return a TIFF of one grey row that holds an LZW block, which Pillow reads whatever the block was part of."""
    order = '<' if data[:2] == b'II' else '>'
    tags = {_WIDTH: size, _HEIGHT: 1, _BITS: 8, _COMPRESSION: _LZW, _PHOTOMETRIC: 1, _STRIP_OFFSETS: 8}
    tags |= {_SAMPLES: 1, _ROWS: 1, _STRIP_SIZES: len(block)}
    entries = b''.join(struct.pack(order + 'HHII', tag, 4, 1, value) for tag, value in sorted(tags.items()))
    block += b'\0' * (len(block) % 2)
    head = data[:2] + struct.pack(order + 'HI', 42, 8 + len(block))
    return head + block + struct.pack(order + 'H', len(tags)) + _as_shorts(entries, order) + bytes(4)


def _as_shorts(entries: bytes, order: str) -> bytes:
    """Store bits, compression, colours and samples as 16-bit values, as the standard wants them."""
    out = bytearray(entries)
    for at in range(0, len(out), 12):
        tag, _, count, value = struct.unpack_from(order + 'HHII', out, at)
        if tag in (_BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES):
            struct.pack_into(order + 'HHIHH', out, at, tag, 3, count, value, 0)
    return bytes(out)


def _check_block(data: bytes, block: bytes, size: int, tags: Tags) -> None:
    """Unpack one strip or tile with a decoder that reports damage."""
    compression = _one(tags, _COMPRESSION, _NONE)
    if compression in (_DEFLATE, _OLD_DEFLATE):
        unpacker = zlib.decompressobj()
        try:
            whole = len(unpacker.decompress(block, size + 1)) == size and unpacker.eof  # with its checksum
        except zlib.error:
            whole = False
    elif compression == _LZW:
        whole = _lzw_is_whole(_as_grey(data, block, size))
    elif compression == _PACKBITS:
        whole = _packbits_size(block) == size
    elif compression == _JPEG:
        tables = bytes(tags.get(_JPEG_TABLES, ()))
        check_scan(tables[:-2] + block[2:] if tables else block)
        whole = True
    else:
        whole = len(block) >= size
    if not whole:
        raise InputError('the TIFF data are damaged')


def _lzw_is_whole(data: bytes) -> bool:
    """Decode with Pillow, which reports what libtiff finds; OpenCV does not."""
    from PIL import Image  # only such files need it

    try:
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
    except Image.DecompressionBombError:  # Pillow has a limit of its own
        raise InputError('an LZW strip of the TIFF is too large to be checked; use smaller ones') from None
    except (OSError, SyntaxError, ValueError):
        return False
    return True


def check_whole(data: bytes, header: ImageHeader) -> None:
    """Check that every strip or tile is there and unpacks.

    Deflate has a checksum. Uncompressed data have none; LZW and PackBits show only damage that breaks a code or
    changes how much they unpack to.

    Args:
        data: Content of the file.
        header: Of the same file.

    Raises:
        ValueError: If something is missing or damaged.
    """
    tags = next(read_tags(data))
    for block, size in _blocks(data, tags):
        _check_block(data, block, size, tags)
