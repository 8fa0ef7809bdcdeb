"""How ``fuzz.py`` damages a file: any bytes in, other bytes out, the same for the same random state."""

from __future__ import annotations

import random
import re
import struct
import zlib
from collections.abc import Callable, Sequence

_NUMBERS = (
    0,
    1,
    2,
    3,
    7,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x10000,
    0x7FFFFFFF,
    0x80000000,
    2**32 - 1,
)
_WORDS = re.compile(rb'"[^"\n]*"|[\w.+-]+')
_ODD_WORDS = (
    *(b"0", b"-1", b"1e999", b"-1e999", b"nan", b".nan", b".inf", b"NaN", b"Infinity", b"1e-320", b"true"),
    *(
        b"null",
        b"~",
        b"[]",
        b"{}",
        b'""',
        b"[[1]]",
        b"[1, -1]",
        b"{a: 1}",
        b"99999999999999999999",
        b"1" * 400,
    ),
    *(
        b"2147483648",
        b"9223372036854775808",
        b'"\\u0000"',
        b'"\\ud800"',
        b"\xff\xfe",
        b"!!python/object:os.system",
    ),
    *(b"&a", b"*a", b"<<", b"2026-02-30", b"0x10", b"1_000", b"-0.0", b"../..", b"/", b"[bold]", b"\x1b[31m"),
)
_PNG = b"\x89PNG\r\n\x1a\n"
_TEXT = 0.9  # a file with so many printable bytes is text


def mutate(data: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """A damaged copy of a file.

    Args:
        data: The file.
        others: Files that a splice takes its second half from.
        rng: Decides everything.

    >>> one, again = (mutate(b"steps: 20", [b"size: 4"], random.Random(1)) for _ in range(2))
    >>> one == again
    True
    """
    printable = sum(byte in b"\t\n\r" or 32 <= byte < 127 for byte in data[:4096])
    kinds = _OF_TEXT if printable > _TEXT * min(len(data), 4096) else _OF_BYTES
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        data = rng.choice(kinds)(data, rng) if rng.random() < 0.95 else _splice(data, rng.choice(others), rng)
    if data.startswith(_PNG) and rng.random() < 0.7:
        return _with_checksums(data)
    return data


def mutate_safetensors(data: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """As :func:`mutate`; half of the time the header's text alone changes, and its length is set right.

    A wrong length is all that a reader would see otherwise.
    """
    if rng.random() < 0.5:
        return mutate(data, others, rng)
    end = 8 + struct.unpack("<Q", data[:8])[0]
    header = mutate(data[8:end], [b"{}"], rng)
    return struct.pack("<Q", len(header)) + header + data[end:]


def _flip(data: bytes, rng: random.Random) -> bytes:
    """One to eight bits change."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 8) if data else 0):
        changed[_place(data, rng)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _place(data: bytes, rng: random.Random) -> int:
    """An offset, every second time among the first bytes, where headers are."""
    return rng.randrange(min(len(data), 128)) if rng.random() < 0.5 else rng.randrange(len(data))


def _field(data: bytes, rng: random.Random) -> bytes:
    """A number of 1, 2, 4 or 8 bytes becomes an extreme one."""
    if not data:
        return data
    size, start = rng.choice((1, 2, 4, 4, 8)), _place(data, rng)
    value: int = rng.choice(_NUMBERS) % 2 ** (8 * size)
    number = value.to_bytes(size, "little")
    number = number if rng.random() < 0.5 else number[::-1]
    return data[:start] + number + data[start + size :]


def _truncate(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _span(data: bytes, rng: random.Random) -> tuple[int, int]:
    start = rng.randrange(len(data) + 1)
    return start, min(len(data), start + int(len(data) ** rng.random()))


def _remove(data: bytes, rng: random.Random) -> bytes:
    start, end = _span(data, rng)
    return data[:start] + data[end:]


def _repeat(data: bytes, rng: random.Random) -> bytes:
    start, end = _span(data, rng)
    return data[:start] + data[start:end] * rng.randint(2, 4) + data[end:]


def _splice(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """The beginning of one file, the end of another."""
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]


def _word(data: bytes, rng: random.Random) -> bytes:
    """A number, name or text becomes something that nobody expects there."""
    words = list(_WORDS.finditer(data))
    if not words:
        return rng.choice(_ODD_WORDS)
    word = rng.choice(words)
    return data[: word.start()] + rng.choice(_ODD_WORDS) + data[word.end() :]


def _with_checksums(data: bytes) -> bytes:
    """A PNG file whose chunks' checksums are right, so that a decoder looks at what is in them."""
    parts, at = [_PNG], len(_PNG)
    while at + 12 <= len(data):
        length = min(struct.unpack(">I", data[at : at + 4])[0], len(data) - at - 12)
        body = data[at + 4 : at + 8 + length]
        parts.append(data[at : at + 4] + body + struct.pack(">I", zlib.crc32(body)))
        at += 12 + length
    return b"".join([*parts, data[at:]])


_OF_BYTES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    *(_flip, _flip, _field, _field, _field, _truncate, _remove, _repeat),
)
_OF_TEXT = (_flip, _word, _word, _word, _word, _truncate, _remove, _repeat)
