"""Bodies of requests, right and mutated, for the tests of the HTTP service."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping
from functools import cache
from random import Random
from typing import TypeAlias

import cv2
import numpy as np

from mmfas.deploy.golden_sample import rendered_triple

#: Content-Type and body.
Request: TypeAlias = tuple[str, bytes]

BOUNDARY = 'faces-0123456789'
CONTENT_TYPE = f'multipart/form-data; boundary={BOUNDARY}'


@cache
def pictures(label: str = 'live') -> dict[str, bytes]:
    """Return a rendered triple as the bytes of PNG files."""
    triple = rendered_triple(label, size='tiny')
    return {name: encode(picture) for name, picture in triple.items()}


def encode(picture: np.ndarray) -> bytes:
    """Encode a picture (H, W) or (H, W, 3), RGB, as PNG."""
    raw = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    return cv2.imencode('.png', raw)[1].tobytes()


def bomb(side: int = 30_000) -> bytes:
    """Return a small PNG file that unpacks to `side` x `side` pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))

    head = struct.pack('>IIBBBBB', side, side, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(100_000), 9)
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', head) + chunk(b'IDAT', rows) + chunk(b'IEND', b'')


def part(name: str, content: bytes, *, head: str | None = None) -> bytes:
    """Return one part; `head` replaces its headers."""
    head = f'Content-Disposition: form-data; name="{name}"; filename="a.png"' if head is None else head
    return f'--{BOUNDARY}\r\n{head}\r\n\r\n'.encode('latin-1') + content + b'\r\n'


def body(files: Mapping[str, bytes]) -> bytes:
    """Return the body of an upload."""
    return b''.join(part(name, content) for name, content in files.items()) + f'--{BOUNDARY}--\r\n'.encode()


def _cut(random: Random, files: dict[str, bytes]) -> Request:
    whole = body(files)
    return CONTENT_TYPE, whole[: random.randrange(len(whole) - 6)]  # up to the last boundary


def _other_boundary(random: Random, files: dict[str, bytes]) -> Request:
    return f'multipart/form-data; boundary={random.choice(["x", BOUNDARY[:-1], BOUNDARY * 30, ""])}', body(files)


def _broken_boundary(random: Random, files: dict[str, bytes]) -> Request:
    whole, mark = bytearray(body(files)), BOUNDARY.encode()
    places = [at for at in range(len(whole)) if whole.startswith(mark, at)]
    whole[random.choice([places[0], places[-1]]) + random.randrange(len(mark))] ^= 1 << random.randrange(7)
    return CONTENT_TYPE, bytes(whole)


def _other_kind(random: Random, files: dict[str, bytes]) -> Request:
    kinds = (
        '',
        'application/json',
        'text/plain',
        'multipart/mixed',
        'image/png',
        'a' * 5000,
        'multipart/form-data',
    )
    return random.choice(kinds), body(files)


def _other_name(random: Random, files: dict[str, bytes]) -> Request:
    names = ('RGB', 'rgb ', '../rgb', 'npz', 'sample_id', '', '/etc/passwd', 'rgb\x00', 'ü', 'x' * 3000)
    return CONTENT_TYPE, part(random.choice(names), files['rgb']) + body(files)


def _text(random: Random, files: dict[str, bytes]) -> Request:
    name = random.choice(list(files))
    path = random.choice([b'/etc/passwd', b'file:///etc/passwd', b'rgb.png', b'', files[name]])
    others = {key: value for key, value in files.items() if key != name}
    return CONTENT_TYPE, part('', path, head=f'Content-Disposition: form-data; name="{name}"') + body(others)


def _twice(random: Random, files: dict[str, bytes]) -> Request:
    name = random.choice(list(files))
    return CONTENT_TYPE, part(name, files[name]) * random.choice([1, 1000]) + body(files)


def _headers(random: Random, files: dict[str, bytes]) -> Request:
    heads = (
        'Content-Disposition',
        ': form-data; name="rgb"; filename="a"',
        'Content-Type: image/png',
        'Content-Disposition: form-data; filename="a"',
        'Content Disposition: form-data; name="rgb"; filename="a"',
        'Content-Disposition: form-data; name="rgb; filename="a"',
        'X: 1\r\n' * 1000 + 'Y: 2',
        'X: ' + 'y' * 100_000,
        '\x00\xff',
    )
    return CONTENT_TYPE, part('', files['rgb'], head=random.choice(heads)) + body(files)


def _broken_picture(random: Random, files: dict[str, bytes]) -> Request:
    name = random.choice(list(files))
    content = bytearray(files[name])
    content[random.randrange(41, len(content) - 20)] ^= 1 << random.randrange(8)  # pixels, which have a checksum
    return CONTENT_TYPE, body({**files, name: bytes(content)})


def _cut_picture(random: Random, files: dict[str, bytes]) -> Request:
    name = random.choice(list(files))
    return CONTENT_TYPE, body({**files, name: files[name][: random.randrange(len(files[name]) - 20)]})


def _other_picture(random: Random, files: dict[str, bytes]) -> Request:
    others = (b'GIF89a', b'%PDF-1.7', random.randbytes(500), b'<svg/>', bomb(), encode(np.zeros((5, 9), np.uint8)))
    return CONTENT_TYPE, body({**files, random.choice(list(files)): random.choice(others)})


def _without_rgb(random: Random, files: dict[str, bytes]) -> Request:
    kept = [name for name in files if name != 'rgb' and random.random() < 0.5]
    return CONTENT_TYPE, body({name: files[name] for name in kept})


def _noise(random: Random, files: dict[str, bytes]) -> Request:
    return CONTENT_TYPE, random.randbytes(random.choice([0, 1, 100, 5000]))


#: What can be wrong with a request whose bundle must have rgb.
MUTATIONS: tuple[Callable[[Random, dict[str, bytes]], Request], ...] = (
    _cut,
    _other_boundary,
    _broken_boundary,
    _other_kind,
    _other_name,
    _text,
    _twice,
    _headers,
    _broken_picture,
    _cut_picture,
    _other_picture,
    _without_rgb,
    _noise,
)
