"""Compression methods and their bounds; names, content types and golden data are those of kombu 5.7.0."""

from __future__ import annotations

import gzip
import lzma
import sys
import tracemalloc
import zlib
from typing import TYPE_CHECKING

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from celeriac.exceptions import DecodeError, ImproperlyConfigured
from celeriac.serialization import compression
from celeriac.serialization.compression import compress, compression_type, decompress

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = [
    ("gzip", "application/x-gzip"),
    ("zlib", "application/x-gzip"),
    ("bzip2", "application/x-bz2"),
    ("bzip", "application/x-bz2"),
    ("lzma", "application/x-lzma"),
    ("xz", "application/x-lzma"),
    ("brotli", "application/x-brotli"),
    ("zstd", "application/zstd"),
]
METHODS = ["gzip", "bzip2", "lzma", "brotli", "zstd"]
ZEROS = b"\0" * (32 << 20)


@pytest.mark.parametrize(("name", "content_type"), NAMES)
def test_names_stand_for_the_content_types_of_kombu(name: str, content_type: str) -> None:
    data, written = compress(b"hello" * 3, name)
    assert written == content_type == compression_type(name) == compression_type(content_type)
    assert decompress(data, content_type) == b"hello" * 3


def test_gzip_is_a_zlib_stream_despite_its_name() -> None:
    # The observed output of kombu for the same input.
    data, _ = compress(b"hello" * 3, "gzip")
    assert data.startswith(b"x\x9c\xcbH\xcd\xc9\xc9\xcf\x80\x13\x00")
    assert zlib.decompress(data) == b"hello" * 3


def test_real_gzip_data_is_read_too() -> None:
    assert decompress(gzip.compress(b"hello"), "application/x-gzip") == b"hello"


@settings(max_examples=30)
@given(st.binary(max_size=2000), st.sampled_from(METHODS))
def test_data_comes_back(data: bytes, name: str) -> None:
    assert decompress(*compress(data, name)) == data


@settings(max_examples=60)
@given(st.binary(max_size=100), st.sampled_from(METHODS))
def test_random_data_decompresses_or_raises_a_decode_error(data: bytes, name: str) -> None:
    try:
        decompress(data, name, max_size=1 << 20)
    except DecodeError:
        return


@pytest.mark.parametrize("name", METHODS)
def test_the_limit_is_exact(name: str) -> None:
    data, content_type = compress(b"hello" * 1000, name)
    assert len(decompress(data, content_type, max_size=5000)) == 5000
    with pytest.raises(DecodeError, match="more than the allowed 4999 bytes"):
        decompress(data, content_type, max_size=4999)


@pytest.mark.parametrize("name", METHODS)
def test_a_compression_bomb_is_refused_without_being_unpacked(name: str) -> None:
    bomb, content_type = compress(ZEROS, name)
    tracemalloc.start()
    try:
        with pytest.raises(DecodeError, match="more than the allowed 1048576 bytes"):
            decompress(bomb, content_type, max_size=1 << 20)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The dictionary of lzma alone takes 8 MiB.
    assert peak < 16 << 20


def test_a_zstd_bomb_that_states_no_size_is_refused() -> None:
    bomb = zstandard.ZstdCompressor(write_content_size=False).compress(ZEROS)
    with pytest.raises(DecodeError, match="more than the allowed 1048576 bytes"):
        decompress(bomb, "application/zstd", max_size=1 << 20)


def test_zstd_frames_without_a_stated_size_are_read() -> None:
    stream = zstandard.ZstdCompressor().compressobj()
    data = stream.compress(b"abc") + stream.flush()
    assert decompress(data, "application/zstd") == b"abc"


def test_an_lzma_header_cannot_claim_gigabytes() -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 30}]
    # Encoding with such a dictionary would itself take the memory: patch the size in the block header instead.
    data = bytearray(lzma.compress(b"x" * 100, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 12}]))
    assert filters[0]["dict_size"] > compression._LZMA_MEMORY
    at = data.index(b"\x21\x01\x00", 12) + 2
    data[at] = 36
    header = bytes(data[12 : 12 + (data[12] + 1) * 4 - 4])
    data[12 + len(header) : 16 + len(header)] = zlib.crc32(header).to_bytes(4, "little")
    with pytest.raises(DecodeError, match=r"(?i)memory"):
        decompress(bytes(data), "application/x-lzma")


@pytest.mark.parametrize("name", METHODS)
def test_incomplete_data_raises_a_decode_error(name: str) -> None:
    data, content_type = compress(b"hello" * 1000, name)
    for cut in (data[:-3], data[:5], b""):
        with pytest.raises(DecodeError, match=content_type):
            decompress(cut, content_type)


def test_an_unknown_method_in_a_message_raises_a_decode_error() -> None:
    with pytest.raises(DecodeError, match="unknown compression 'application/x-lz4': known are application/x-brotli"):
        decompress(b"x", "application/x-lz4")


def test_an_unknown_method_in_a_setting_is_a_configuration_error() -> None:
    with pytest.raises(ImproperlyConfigured, match="unknown compression 'lz4': known are brotli"):
        compress(b"x", "lz4")


@pytest.mark.parametrize(("name", "package"), [("brotli", "brotli"), ("zstd", "zstandard")])
def test_a_missing_package_names_the_extra(name: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data, content_type = compress(b"x", name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImproperlyConfigured, match=rf"compression '{name}'.*celeriac\[{name}\]"):
        compress(b"x", name)
    with pytest.raises(ImproperlyConfigured, match=rf"celeriac\[{name}\]"):
        decompress(data, content_type)


@pytest.fixture
def reversing(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(compression, "_by_type", dict(compression._by_type))
    monkeypatch.setattr(compression, "_aliases", dict(compression._aliases))
    own = compression.Compressor("x/reversed", lambda data: data[::-1], lambda data, _: data[::-1])
    compression.register_compressor(own, ["reversed"])
    yield "reversed"


def test_a_registered_method_is_bounded_as_well(reversing: str) -> None:
    assert compress(b"abc", reversing) == (b"cba", "x/reversed")
    assert decompress(b"cba", "x/reversed") == b"abc"
    with pytest.raises(DecodeError, match="more than the allowed 2 bytes"):
        decompress(b"cba", "x/reversed", max_size=2)
