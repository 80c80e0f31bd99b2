"""Decompression with a limit: kombu's own has none, and kilobytes can become gigabytes."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, Final

from kombu import compression

# What the largest preset of xz needs, in bytes.
LZMA_MEMORY_BYTES: Final = 128 * 1024 * 1024

# By the name in a message's header; what kombu calls gzip is zlib.
METHODS: Final[Mapping[str, tuple[Callable[[bytes], bytes], Callable[[], Any]]]] = MappingProxyType(
    {
        "application/x-gzip": (zlib.compress, zlib.decompressobj),
        "application/x-bz2": (bz2.compress, bz2.BZ2Decompressor),
        "application/x-lzma": (
            lzma.compress,
            partial(lzma.LZMADecompressor, memlimit=LZMA_MEMORY_BYTES),
        ),
    }
)

# kombu also accepts short names for them, which its producers never write.
KNOWN_NAMES: Final = frozenset({*METHODS, "gzip", "zlib", "bzip2", "bzip", "lzma", "xz"})


def bound(max_bytes: int) -> None:
    """Limit what kombu decompresses in this process to `max_bytes` a message.

    A larger message fails to decompress, like one that was never compressed.
    """
    for name, (pack, make) in METHODS.items():
        compression.register(pack, partial(unpack, make, max_bytes=max_bytes), name)


def unpack(make: Callable[[], Any], body: bytes, *, max_bytes: int) -> bytes:
    """Decompress a body. Raises ValueError, or the algorithm's own error."""
    unpacker = make()
    unpacked: bytes = unpacker.decompress(body, max_bytes + 1)
    if len(unpacked) > max_bytes:
        raise ValueError(f"unpacked it has more than {max_bytes} bytes")
    if not unpacker.eof:
        raise ValueError("the compressed body is cut short")
    return unpacked
