"""Compression of bodies and results, bounded when undoing it.  Which data is compressed is told elsewhere."""

from __future__ import annotations

import zlib
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from celeriac.exceptions import DecodeError, ImproperlyConfigured
from celeriac.utils.imports import import_optional

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

#: Bytes a body may have after decompression unless the caller says otherwise.
DEFAULT_MAX_SIZE: Final = 256 * 1024 * 1024
#: Decoder state of ``xz -9`` takes 65 MiB; a header may ask for 4 GiB.
_LZMA_MEMORY: Final = 128 * 1024 * 1024
_SLICE: Final = 64 * 1024


class Compressor(NamedTuple):
    """A compression method.

    Attributes:
        content_type: Value of the ``compression`` header.
        compress: Makes the compressed form.
        decompress: Undoes it. The second argument is the greatest size allowed; a longer result says that it
            was exceeded. Raises for damaged or incomplete data.
    """

    content_type: str
    compress: Callable[[bytes], bytes]
    decompress: Callable[[bytes, int], bytes]


_by_type: dict[str, Compressor] = {}
_aliases: dict[str, str] = {}


def register_compressor(compressor: Compressor, aliases: Iterable[str] = ()) -> None:
    """Make a method known under its content type and `aliases`, replacing earlier ones."""
    _by_type[compressor.content_type] = compressor
    _aliases.update(dict.fromkeys(aliases, compressor.content_type))


def compression_type(name: str) -> str:
    """The content type of a method.

    Raises:
        ImproperlyConfigured: The name is unknown.
    """
    found = _aliases.get(name, name)
    if found not in _by_type:
        raise ImproperlyConfigured(f"unknown compression {name!r}: known are {', '.join(sorted(_aliases))}")
    return found


def compress(data: bytes, name: str) -> tuple[bytes, str]:
    """Compress.

    Args:
        data: Any bytes.
        name: ``gzip`` (``zlib``), ``bzip2`` (``bzip``), ``lzma`` (``xz``), ``brotli``, ``zstd``; or a content
            type.

    Returns:
        The compressed data, and the content type of the method for the ``compression`` header.

    Raises:
        ImproperlyConfigured: The method is unknown or a package it needs is missing.
    """
    content_type = compression_type(name)
    return _by_type[content_type].compress(data), content_type


def decompress(data: bytes, content_type: str, *, max_size: int = DEFAULT_MAX_SIZE) -> bytes:
    """Undo `compress`, never producing more than about `max_size` bytes.

    Args:
        data: Compressed data.
        content_type: Value of the ``compression`` header; names are understood too.
        max_size: Bytes allowed.

    Raises:
        DecodeError: The data is damaged, incomplete or too large, or the method is unknown.
        ImproperlyConfigured: A package the method needs is missing.
    """
    compressor = _by_type.get(_aliases.get(content_type, content_type))
    if compressor is None:
        raise DecodeError(f"unknown compression {content_type!r}: known are {', '.join(sorted(_by_type))}")
    try:
        result = compressor.decompress(data, max_size)
    except (DecodeError, ImproperlyConfigured):
        raise
    except Exception as exc:
        raise DecodeError(f"{len(data)} bytes of data are not valid {content_type}: {exc}") from exc
    if len(result) > max_size:
        raise DecodeError(_too_large(data, content_type, max_size))
    return result


def _too_large(data: bytes, method: str, max_size: int) -> str:
    return f"{len(data)} bytes of {method} become more than the allowed {max_size} bytes"


def _inflate(data: bytes, max_size: int) -> bytes:
    # 32: accept the gzip header too, which some producers write under the same content type.
    stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    result = stream.decompress(data, max_size + 1)
    if len(result) <= max_size and not stream.eof:
        raise EOFError("the data ends too early")
    return result


def _bz2() -> Any:
    # Few compress, and every process would pay for the import; so with lzma.
    return import_module("bz2")


def _lzma() -> Any:
    return import_module("lzma")


def _bunzip2(data: bytes, max_size: int) -> bytes:
    return _bounded(_bz2().BZ2Decompressor(), data, max_size)


def _unxz(data: bytes, max_size: int) -> bytes:
    return _bounded(_lzma().LZMADecompressor(memlimit=_LZMA_MEMORY), data, max_size)


def _bounded(stream: Any, data: bytes, max_size: int) -> bytes:
    """All output of a standard library decompressor, or the first ``max_size + 1`` bytes."""
    result: bytes = stream.decompress(data, max_size + 1)
    if len(result) <= max_size and not stream.eof:
        raise EOFError("the data ends too early")
    return result


def _brotli() -> Any:
    return import_optional("brotli", extra="brotli", purpose="the compression 'brotli'")


def _brotli_compress(data: bytes) -> bytes:
    result: bytes = _brotli().compress(data)
    return result


def _unbrotli(data: bytes, max_size: int) -> bytes:
    stream = _brotli().Decompressor()
    result = bytearray(stream.process(data, output_buffer_limit=_SLICE))
    while not stream.is_finished():
        if len(result) > max_size:
            raise DecodeError(_too_large(data, "brotli", max_size))
        more = stream.process(b"", output_buffer_limit=_SLICE)
        if not more:
            raise EOFError("the data ends too early")
        result += more
    return bytes(result)


def _zstandard() -> Any:
    return import_optional("zstandard", extra="zstd", purpose="the compression 'zstd'")


def _zstd_compress(data: bytes) -> bytes:
    result: bytes = _zstandard().ZstdCompressor().compress(data)
    return result


def _unzstd(data: bytes, max_size: int) -> bytes:
    zstandard = _zstandard()
    # A frame header that states its size is believed by the decoder, which allocates that much.
    stated = zstandard.frame_content_size(data)
    if stated > max_size:
        raise DecodeError(_too_large(data, "zstd", max_size))
    try:
        result: bytes = zstandard.ZstdDecompressor().decompress(data, max_output_size=max_size + 1)
    except zstandard.ZstdError as exc:
        if stated >= 0:
            raise
        # Without a stated size the decoder has one error for both.
        raise DecodeError(f"{_too_large(data, 'zstd', max_size)}, or are incomplete: {exc}") from exc
    return result


register_compressor(Compressor("application/x-gzip", zlib.compress, _inflate), ("gzip", "zlib"))
register_compressor(
    Compressor("application/x-bz2", lambda data: bytes(_bz2().compress(data)), _bunzip2), ("bzip2", "bzip")
)
register_compressor(Compressor("application/x-lzma", lambda data: bytes(_lzma().compress(data)), _unxz), ("lzma", "xz"))
register_compressor(Compressor("application/x-brotli", _brotli_compress, _unbrotli), ("brotli",))
register_compressor(Compressor("application/zstd", _zstd_compress, _unzstd), ("zstd", "zstandard"))
