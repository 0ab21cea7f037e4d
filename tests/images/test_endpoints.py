"""The store, layouts and archives as places to copy from and to."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.errors import InvalidInput, NotFound, Unsupported
from core.files import atomic_file
from image.platform import Platform
from image.reference import Reference
from images.copy import copy
from images.endpoint import Endpoint
from images.indexed import Directory, IndexedArchive
from images.layout_endpoints import ArchiveDestination, DockerArchiveSource, LayoutDestination, LayoutSource
from images.resolve import resolve
from images.store_endpoints import StoreDestination, StoreSource
from images.tar_out import TarOut
from snapshot.layers import Layers
from store.images import Image
from store.store import Store
from tests.suites.archives import LAYER
from tests.suites.endpoints import EndpointContract, Opened, Origin, test_verified_bytes_are_the_right_ones_or_an_error
from tests.suites.layouts import Layout

__all__ = ["test_verified_bytes_are_the_right_ones_or_an_error"]
Make = Callable[..., Image]


class TestLayoutDirectory(EndpointContract):
    @pytest.fixture
    def writing(self, tmp_path: Path) -> Opened:
        return lambda: contextlib.nullcontext(LayoutDestination(tmp_path / "layout", "1", sync=False))

    @pytest.fixture
    def reading(self, tmp_path: Path) -> Opened:
        return lambda: contextlib.nullcontext(LayoutSource(Directory(tmp_path / "layout"), "1"))


class TestArchive(EndpointContract):
    lasting = False
    docker = False

    @pytest.fixture
    def writing(self, tmp_path: Path) -> Opened:
        @contextlib.contextmanager
        def opened() -> Iterator[Endpoint]:
            with atomic_file(tmp_path / "archive", sync=False) as file:
                tags = (Reference.parse("app:1"),) if self.docker else ()
                yield ArchiveDestination(TarOut(file.write), "1", docker=self.docker, tags=tags)

        return opened

    @pytest.fixture
    def reading(self, tmp_path: Path) -> Opened:
        @contextlib.contextmanager
        def opened() -> Iterator[Endpoint]:
            with IndexedArchive(tmp_path / "archive") as shelf:
                yield DockerArchiveSource(shelf, "app:1") if self.docker else LayoutSource(shelf, "1")

        return opened


class TestDockerArchive(TestArchive):
    docker = True


class TestStore(EndpointContract):
    @pytest.fixture
    def writing(self, store: Store, layers: Layers) -> Opened:
        @contextlib.contextmanager
        def opened() -> Iterator[Endpoint]:
            try:
                yield StoreDestination(store, layers, (Reference.parse("app:1"),))
            finally:
                layers.abandon()

        return opened

    @pytest.fixture
    def reading(self, store: Store, layers: Layers) -> Opened:
        return lambda: contextlib.nullcontext(StoreSource(store, layers, resolve(store, "app:1")))


@pytest.fixture
def many(tmp_path: Path) -> Layout:
    """A layout with the index `many` for two platforms, and the image `one`."""
    made = Layout(tmp_path / "many")
    one, other = made.image(LAYER), made.image(LAYER, architecture="s390x")
    made.name(many=made.index(one, other), one=one)
    return made


def test_an_index_goes_with_all_its_platforms_or_with_one(many: Layout, tmp_path: Path) -> None:
    source = LayoutSource(Directory(many.path), "many")
    whole, part = (LayoutDestination(tmp_path / name, "x", sync=False) for name in ("whole", "part"))
    copy(source, whole, every=True)
    copied = copy(source, part, platform=Platform.parse("linux/s390x"))
    names = {
        place: {path.name for path in (tmp_path / place / "blobs/sha256").iterdir()} for place in ("whole", "part")
    }
    assert names["whole"] == many.blobs()
    assert copied.platform == Platform.parse("linux/s390x") and len(names["part"]) == 3


def test_a_platform_that_is_not_there_is_named_with_those_that_are(many: Layout, tmp_path: Path) -> None:
    source = LayoutSource(Directory(many.path), "many")
    with pytest.raises(NotFound, match="no image for linux/mips") as refused:
        copy(source, LayoutDestination(tmp_path / "x", "", sync=False), platform=Platform.parse("linux/mips"))
    assert "linux/s390x" in str(refused.value.hint)


def test_a_name_that_is_not_there_is_named_with_those_that_are(many: Layout) -> None:
    with pytest.raises(NotFound, match="no image 'gone'") as refused:
        LayoutSource(Directory(many.path), "gone").resolve()
    assert "many, one" in str(refused.value.hint)
    with pytest.raises(NotFound, match="2 images"):
        LayoutSource(Directory(many.path), "").resolve()


def test_neither_the_store_nor_a_docker_archive_takes_an_index(store: Store, layers: Layers, many: Layout) -> None:
    source = LayoutSource(Directory(many.path), "many")
    with pytest.raises(Unsupported):
        copy(source, StoreDestination(store, layers, ()), every=True)
    with pytest.raises(Unsupported):
        copy(source, ArchiveDestination(TarOut(lambda data: None), "", docker=True), every=True)


def test_a_layout_keeps_its_other_names(tmp_path: Path) -> None:
    for name in ("1", "2", "1"):
        copy(Origin(LAYER), LayoutDestination(tmp_path / "layout", name, sync=False))
    entries = json.loads((tmp_path / "layout/index.json").read_text())["manifests"]
    assert [entry["annotations"]["org.opencontainers.image.ref.name"] for entry in entries] == ["2", "1"]


def test_what_is_no_layout_is_not_written_into(tmp_path: Path) -> None:
    (tmp_path / "thesis").write_text("years of work")
    with pytest.raises(InvalidInput, match="is not an OCI layout"):
        LayoutDestination(tmp_path, "", sync=False)


def test_a_damaged_layer_never_leaves_the_store(store: Store, layers: Layers, make: Make, tmp_path: Path) -> None:
    image = make("app:1")
    layer = store.layers.get(image.diff_ids[0])
    assert layer
    (store.layer_path(layer.directory) / "file").write_text("x" * 700)
    with pytest.raises(Exception, match="is damaged"):
        copy(StoreSource(store, layers, image), LayoutDestination(tmp_path / "layout", "", sync=False))
    assert not (tmp_path / "layout/index.json").exists()
