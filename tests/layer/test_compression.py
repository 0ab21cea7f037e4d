"""Compressed streams: what is written is read by everyone, what is damaged is said to be."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import shutil
import subprocess
import tracemalloc
from collections.abc import Callable

import pytest
import zstandard

from core.errors import Integrity, InvalidInput
from layer.compression import compressor, decompressor, detect
from layer.handover import Pieces, ReadAhead
from layer.incompressible import STRETCH
from layer.pipeline import HashingReader, HashingWriter

TEXT = b"".join(b"line %d of a text that repeats itself\n" % (n % 9973) for n in range(60_000))
NOISE = random.Random(1).randbytes(3_000_001)
MIXED = b"".join(
    NOISE[at : at + 300_000] + TEXT[at : at + 200_000] + NOISE[at : at + 70_000] for at in range(0, 1_200_000, 300_000)
)
WRITERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress, "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
}  # fmt: skip


def compressed(kind: str, data: bytes, *, threads: int = 2, piece: int = 1 << 20, level: int | None = None) -> bytes:
    out: list[bytes] = []
    writer = compressor(kind, out.append, threads=threads, level=level)
    for at in range(0, len(data), piece):
        writer.write(memoryview(data)[at : at + piece])
    writer.close()
    writer.close()
    return b"".join(out)


def inflated(data: bytes, n: int = 1 << 20, kind: str | None = None) -> bytes:
    reader = decompressor(io.BytesIO(data), kind)
    parts = []
    while part := reader.read(n):
        assert len(part) <= n
        parts.append(part)
    assert reader.read(n) == b""
    return b"".join(parts)


@pytest.mark.parametrize("kind", WRITERS)
def test_streams_are_told_by_their_first_bytes(kind: str) -> None:
    assert detect(WRITERS[kind](b"x")[:10]) == kind


@pytest.mark.parametrize("head", [b"", b"\x1f", b"BZhello wor", b"plain text", b"usr/bin/"])
def test_anything_else_is_none(head: bytes) -> None:
    assert detect(head) == "none" and inflated(head) == head


@pytest.mark.parametrize("kind", WRITERS)
def test_streams_are_read_whole(kind: str) -> None:
    data = WRITERS[kind](TEXT)
    assert inflated(data) == TEXT == inflated(data, 1000)
    assert inflated(data + data) == TEXT + TEXT, "members in a row"
    assert decompressor(io.BytesIO(data)).read() == TEXT


def test_zeros_after_a_gzip_stream_are_padding() -> None:
    assert inflated(gzip.compress(TEXT) + bytes(1_000_000)) == TEXT


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("cut", [-1, -5, 0.5, 12, 1])
def test_a_stream_cut_short_is_refused(kind: str, cut: float) -> None:
    data = WRITERS[kind](TEXT)
    with pytest.raises(Integrity, match=f"{kind} stream is cut short"):
        inflated(data[: int(cut) if cut == int(cut) else int(len(data) * cut)], kind=kind)


@pytest.mark.parametrize("kind", WRITERS)
def test_damage_is_refused(kind: str) -> None:
    data = WRITERS[kind](TEXT)
    middle = len(data) // 2
    for bad in (data[:middle] + bytes([data[middle] ^ 0x55]) + data[middle + 1 :], data + b"something else entirely"):
        with pytest.raises(Integrity, match=f"{kind} stream is damaged"):
            inflated(bad)


@pytest.mark.parametrize("kind", WRITERS)
def test_a_bomb_takes_no_memory(kind: str) -> None:
    bomb = WRITERS[kind](bytes(64 << 20))
    tracemalloc.start()
    reader, size = decompressor(io.BytesIO(bomb)), 0
    while part := reader.read(1 << 20):
        size += len(part)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size == 64 << 20 and peak < 16 << 20  # xz alone has a dictionary of 8 MiB


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
@pytest.mark.parametrize(
    "data",
    [b"", b"x", TEXT, bytes(5 << 20), NOISE, MIXED],
    ids=["nothing", "a byte", "text", "zeros", "noise", "mixed"],
)
def test_the_bytes_depend_on_the_input_alone(kind: str, data: bytes) -> None:
    reference = compressed(kind, data)
    assert (
        compressed(kind, data, threads=1, piece=77_777) == reference == compressed(kind, data, threads=5, piece=9 << 20)
    )
    assert inflated(reference) == data
    theirs = [gzip.decompress(reference)] if kind == "gzip" else []
    program = {"gzip": "gzip", "zstd": "zstd"}[kind]
    if shutil.which(program):
        theirs.append(subprocess.run([program, "-dc"], input=reference, capture_output=True, check=True).stdout)
    assert all(found == data for found in theirs)


def test_gzip_stores_what_it_cannot_make_smaller() -> None:
    assert len(NOISE) < len(compressed("gzip", NOISE)) < len(NOISE) * 1.0002
    assert NOISE[400_000:450_000] in compressed("gzip", NOISE), "as it is"
    text = len(compressed("gzip", TEXT))
    assert len(compressed("gzip", NOISE[: 1 << 20] + TEXT)) < text * 1.1 + (1 << 20), "beside it, text still shrinks"


@pytest.mark.parametrize("place", [0, 1])
def test_half_a_stretch_of_text_is_compressed(place: int) -> None:
    halves = [NOISE[: STRETCH // 2], TEXT[: STRETCH // 2]]
    stretch = halves[place] + halves[1 - place]
    assert len(compressed("gzip", stretch)) < 0.7 * STRETCH


def test_a_thorough_level_tries_everything() -> None:
    again = NOISE[:20_000] * 50  # repeats that a small sample does not show
    assert len(compressed("gzip", again, level=9)) < len(again) / 10


def test_damage_in_what_is_stored_is_refused() -> None:
    data = bytearray(compressed("gzip", NOISE))
    data[500_000] ^= 1
    with pytest.raises(Integrity, match="gzip stream is damaged"):
        inflated(bytes(data))


@pytest.mark.parametrize(("kind", "level"), [("gzip", 0), ("gzip", 3), ("gzip", 9), ("zstd", 1), ("zstd", 10)])
def test_levels(kind: str, level: int) -> None:
    assert inflated(compressed(kind, TEXT, level=level)) == TEXT


def test_gzip_bytes_have_not_changed() -> None:
    import hashlib

    found = hashlib.sha256(compressed("gzip", TEXT)).hexdigest()
    assert found == compressed_digest(), "pushes would give other digests than before"


def compressed_digest() -> str:
    """The same stream put together by hand from the pieces the format promises."""
    import hashlib
    import struct
    import zlib

    from isal import isal_zlib

    out, before = b"\x1f\x8b\x08\0\0\0\0\0\0\xff", b""
    for at in range(0, len(TEXT), 1 << 20):
        chunk = TEXT[at : at + (1 << 20)]
        coder = isal_zlib.compressobj(1, 8, -15, **({"zdict": before} if before else {}))
        out += coder.compress(chunk) + coder.flush(zlib.Z_SYNC_FLUSH)
        before = chunk[-32768:]
    return hashlib.sha256(out + b"\x03\0" + struct.pack("<II", zlib.crc32(TEXT), len(TEXT))).hexdigest()


@pytest.mark.parametrize(("kind", "level"), [("gzip", 10), ("zstd", 0), ("bzip2", None), ("lz4", None)])
def test_what_cannot_be_written_is_refused(kind: str, level: int | None) -> None:
    with pytest.raises(InvalidInput):
        compressor(kind, lambda data: None, level=level)
    if kind == "lz4":
        with pytest.raises(InvalidInput):
            decompressor(io.BytesIO(b""), kind)


def test_a_failing_sink_fails_the_writer() -> None:
    def broken(data: bytes) -> None:
        raise ConnectionError("gone")

    writer = compressor("gzip", broken)
    with pytest.raises(ConnectionError):
        for _ in range(50):
            writer.write(bytes(1 << 20))


def test_hashing_counts_and_digests_what_passes() -> None:
    import hashlib

    expected = "sha256:" + hashlib.sha256(TEXT).hexdigest()
    reader = HashingReader(io.BytesIO(TEXT))
    while reader.read(1 << 18):
        pass
    assert reader.digest() == expected == reader.digest() and reader.count == len(TEXT)
    out = io.BytesIO()
    writer = HashingWriter(out.write)
    for at in range(0, len(TEXT), 300_000):
        writer.write(TEXT[at : at + 300_000])
    assert writer.digest() == expected and out.getvalue() == TEXT and writer.count == len(TEXT)


def test_reading_ahead_gives_the_same_and_passes_errors_on() -> None:
    with ReadAhead(decompressor(io.BytesIO(gzip.compress(TEXT)))) as ahead:
        assert ahead.read(5) == TEXT[:5] and ahead.read() == TEXT[5:] and ahead.read(5) == b""
    with ReadAhead(decompressor(io.BytesIO(gzip.compress(TEXT)[:-1]))) as ahead, pytest.raises(Integrity):
        ahead.read()
    with ReadAhead(io.BytesIO(TEXT * 9), piece=1000) as ahead:
        assert ahead.read(10) == TEXT[:10]


def test_an_interrupted_reader_waits_for_nothing_more() -> None:
    pieces = Pieces()
    pieces.put(TEXT)
    pieces.put(b"")
    assert pieces.read(10) == TEXT[:10] and pieces.read() == TEXT[10:]
    pieces = Pieces()
    pieces.put(KeyboardInterrupt())  # as it comes while the piece that arrived is taken
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            pieces.read(1)
