"""What every Endpoint promises, whichever place it is: run by those who can both write and read it."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from core.errors import Integrity, LamellaError
from image.descriptor import Descriptor
from image.digest import Digest
from image.manifest import Manifest
from image.media_types import OCI_CONFIG, OCI_LAYER
from images.copy import copy
from images.endpoint import Endpoint, verified
from layer.pipeline import Readable
from tests.suites.archives import LAYER, config

Opened = Callable[[], AbstractContextManager[Endpoint]]
SECOND = bytes(1024)


class Origin:
    """An image in memory, made of what it is told to hold."""

    def __init__(self, *layers: bytes) -> None:
        raw = config(*layers)
        self.blobs = {Digest.of(data): data for data in (raw, *layers)}
        self.manifest = Manifest.build(
            Descriptor(OCI_CONFIG, Digest.of(raw), len(raw)),
            [Descriptor(OCI_LAYER, Digest.of(x), len(x)) for x in layers],
        )
        self.read = 0

    def resolve(self) -> tuple[Descriptor, bytes]:
        return self.manifest.descriptor, self.manifest.raw

    def fetch(self, wanted: Descriptor) -> bytes:
        raise AssertionError("there is nothing below a manifest")

    @contextlib.contextmanager
    def open(self, blob: Descriptor) -> Iterator[Readable]:
        self.read += 1
        yield io.BytesIO(self.blobs[blob.digest])

    def stat(self, blob: Descriptor) -> bool:
        raise AssertionError("this is read only")

    def write(self, blob: Descriptor, content: object) -> None:
        raise AssertionError("this is read only")

    def publish(self, manifest: Descriptor, raw: bytes, *, top: bool) -> None:
        raise AssertionError("this is read only")


class EndpointContract:
    """Fixtures that the subclass gives: `writing`, `reading` (each opens the same place) and `lasting`, whether what was
    copied once is known to be there the next time."""

    lasting = True

    @pytest.fixture
    def origin(self) -> Origin:
        return Origin(LAYER, SECOND)

    def test_what_goes_in_comes_out_unchanged(self, writing: Opened, reading: Opened, origin: Origin) -> None:
        with writing() as place:
            copied = copy(origin, place)
        assert copied == origin.manifest.descriptor
        with reading() as place:
            top, raw = place.resolve()
            assert (top.digest, json.loads(raw)["layers"]) == (copied.digest, json.loads(origin.manifest.raw)["layers"])
            for blob in (origin.manifest.config, *origin.manifest.layers):
                with place.open(blob) as stream:
                    assert b"".join(iter(lambda s=stream: s.read(1000), b"")) == origin.blobs[blob.digest]  # type: ignore[misc]

    def test_what_is_there_is_not_sent_again(self, writing: Opened, origin: Origin) -> None:
        for _ in range(2):
            with writing() as place:
                copy(origin, place)
        assert origin.read == (3 if self.lasting else 6)

    def test_a_layer_that_comes_twice_is_sent_once(self, writing: Opened, reading: Opened) -> None:
        origin = Origin(LAYER, LAYER)
        with writing() as place:
            copy(origin, place)
        assert origin.read == 2
        with reading() as place:
            assert place.resolve()[0].digest == origin.manifest.descriptor.digest

    @pytest.mark.parametrize("wrong", [LAYER[:-512], LAYER + bytes(512), LAYER[:600] + b"!" + LAYER[601:]])
    def test_wrong_bytes_are_refused_and_name_nothing(
        self, writing: Opened, reading: Opened, origin: Origin, wrong: bytes
    ) -> None:
        origin.blobs[Digest.of(LAYER)] = wrong
        with pytest.raises(LamellaError), writing() as place:
            copy(origin, place)
        with pytest.raises((LamellaError, OSError)), reading() as place:
            place.resolve()


def test_verified_bytes_are_the_right_ones_or_an_error() -> None:
    data = b"hello"
    blob = Descriptor(OCI_LAYER, Digest(f"sha256:{hashlib.sha256(data).hexdigest()}"), len(data))
    with verified(blob, lambda: io.BytesIO(data))() as stream:
        assert stream.read() == data and stream.read() == b""
    for wrong in (b"hell", b"hello!", b"jello"):
        with verified(blob, lambda wrong=wrong: io.BytesIO(wrong))() as stream, pytest.raises(Integrity):  # type: ignore[misc]
            while stream.read(2):
                pass
