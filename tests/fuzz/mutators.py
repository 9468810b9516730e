"""Changes of bytes and texts that the attacks share; all of them drawn from the generator they are given."""

from __future__ import annotations

from random import Random
from typing import Any


def flip_bits(data: bytes, rng: Random, *, start: int = 0, most: int = 4) -> bytes:
    """Flip one to `most` bits behind `start`."""
    out = bytearray(data)
    for _ in range(rng.randint(1, most)):
        out[rng.randrange(start, len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def cut(data: bytes, rng: Random) -> bytes:
    """Leave the end out."""
    return data[: rng.randrange(len(data))]


def hole(data: bytes, rng: Random) -> bytes:
    """Fill a stretch with zeros, as a broken copy does."""
    start = rng.randrange(len(data))
    stop = min(len(data), start + rng.randint(1, max(1, len(data) // 4)))
    return data[:start] + bytes(stop - start) + data[stop:]


def splice(data: bytes, rng: Random) -> bytes:
    """Repeat, remove or replace a stretch."""
    start = rng.randrange(len(data))
    stop = min(len(data), start + rng.randint(1, 64))
    new = rng.choice([b'', data[start:stop] * 2, rng.randbytes(rng.randint(1, 64))])
    return data[:start] + new + data[stop:]


def damage(data: bytes, rng: Random) -> tuple[str, bytes]:
    """Damage bytes in some way; returns its name, too."""
    way = rng.choice([flip_bits, cut, hole, splice])
    return way.__name__, way(data, rng)


def slip(word: str, rng: Random) -> str:
    """Misspell a word of at least four letters as people do."""
    at = rng.randrange(1, len(word) - 1)
    other = rng.choice('etaoinsr')
    ways = [
        word[:at] + word[at + 1 :],
        word[:at] + word[at] + word[at:],
        word[: at - 1] + word[at] + word[at - 1] + word[at + 1 :],
        word[:at] + other + word[at + 1 :],
    ]
    return next((found for found in rng.sample(ways, 4) if found != word), word + 'x')


def odd_value(rng: Random) -> Any:
    """A value that a config may hold, and that hardly any setting takes."""
    return rng.choice(
        [
            None, True, -1, 0, 5, 10**6000, -(2**70), 1.5, float('nan'), float('inf'), '', 'X', 'a..b', '.', '{}',
            'x' * 5000, b'bytes', [], ['X', 3], [[]], (), {}, {'type': 5}, {'type': ['X', 3]}, {5: 6}, {'a': None},
            {'type': 'NoSuchPart'}, {'type': 'os.getcwd'}, object(), len, set(), range(3), 1j, 'os.path', '\0',
        ]
    )  # fmt: skip


def nested(opening: str, depth: int) -> str:
    """A text of opening brackets only."""
    return opening * depth
