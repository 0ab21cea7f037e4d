"""Archives of every kind are loaded, from a file and from a stream, and saved again."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from image.digest import DiffID, Digest
from image.platform import Platform
from image.reference import Reference
from images.load import Loaded, load
from images.save import choose, save
from layer.pipeline import Readable
from snapshot.layers import Layers
from store.collect import collect
from store.images import Image
from store.store import Store
from tests.suites.archives import LAYER, File, config, docker_archive, hex_of, legacy, tar
from tests.suites.layouts import Layout, tar_of

Make = Callable[..., Image]
SECOND = tar_of({"data": bytes(300_000), "etc/hosts": b"127.0.0.1\n"})
ID = f"sha256:{hex_of(config(LAYER, SECOND))}"

COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes, "gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}  # fmt: skip


def linked() -> list[File]:
    """As podman writes it: layers beside the config, links to them."""
    names = [f"{hex_of(layer)}.tar" for layer in (LAYER, SECOND)]
    return [
        (names[0], LAYER), ("one/layer.tar", f"../{names[0]}"), (names[1], SECOND), ("two/layer.tar", f"../{names[1]}"),
        ("c.json", config(LAYER, SECOND)),
        ("manifest.json", json.dumps([{"Config": "c.json", "RepoTags": ["app:1"], "Layers": ["one/layer.tar", "two/layer.tar"]}]).encode()),
    ]  # fmt: skip


FORMS: dict[str, list[File]] = {
    "manifest last": docker_archive(LAYER, SECOND),
    "manifest first": docker_archive(LAYER, SECOND, first=True),
    "compressed layers": docker_archive(LAYER, SECOND),
    "links to layers": linked(),
    "dots before names": [(f"./{name}", content) for name, content in docker_archive(LAYER, SECOND)],
    "strangers among the files": [
        ("README", b"hello"), ("big", bytes(9 << 20)), ("nested.tar", tar(("../x", b"x"))), *docker_archive(LAYER, SECOND),
    ],
}  # fmt: skip
for _number, (_name, _content) in enumerate(FORMS["compressed layers"]):
    if _name.endswith("layer.tar") and isinstance(_content, bytes):
        FORMS["compressed layers"][_number] = (_name, gzip.compress(_content))


def source(data: bytes, way: str, tmp_path: Path) -> Path | Readable:
    if way == "stream":
        return io.BytesIO(data)
    path = tmp_path / "archive"
    path.write_bytes(data)
    return path


def content(store: Store, diff_id: str, name: str) -> bytes:
    layer = store.layers.get(DiffID(diff_id))
    assert layer
    return (store.layer_path(layer.directory) / name).read_bytes()


@pytest.mark.parametrize("way", ["file", "stream"])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_image(store: Store, layers: Layers, tmp_path: Path, form: str, way: str) -> None:
    events = load(store, layers, source(tar(*FORMS[form]), way, tmp_path))
    assert events == [Loaded("tagged", Digest(ID), Reference.parse("app:1"))]
    assert content(store, f"sha256:{hex_of(LAYER)}", "etc/motd") == b"hello\n"
    assert content(store, f"sha256:{hex_of(SECOND)}", "data") == bytes(300_000)
    for diff_id in store.images.config(Digest(ID)).diff_ids:
        layer = store.layers.get(diff_id)
        assert layer
        layers.verify(layer)
    store.leases.close()
    collect(store)
    assert store.images.get(Digest(ID)) and store.layers.get(DiffID(f"sha256:{hex_of(LAYER)}"))


@pytest.mark.parametrize("way", ["file", "stream"])
@pytest.mark.parametrize("kind", COMPRESSIONS)
def test_a_compressed_archive_is_loaded_as_it_is(
    store: Store, layers: Layers, tmp_path: Path, kind: str, way: str
) -> None:
    data = COMPRESSIONS[kind](tar(*docker_archive(LAYER)))
    (event,) = load(store, layers, source(data, way, tmp_path))
    assert event.image == f"sha256:{hex_of(config(LAYER))}"


@pytest.mark.parametrize("way", ["file", "stream"])
def test_compressed_layers_are_kept_as_they_came(store: Store, layers: Layers, tmp_path: Path, way: str) -> None:
    load(store, layers, source(tar(*FORMS["compressed layers"]), way, tmp_path))
    layer = store.layers.get(DiffID(f"sha256:{hex_of(SECOND)}"))
    assert layer and layer.origin == "foreign" and layer.blob
    assert store.blobs.read(layer.blob.digest, 1 << 20) in [c for _, c in FORMS["compressed layers"]]


def saved(store: Store, layers: Layers, *names: str) -> bytes:
    out = io.BytesIO()
    save(store, layers, choose(store, names), out.write)
    return out.getvalue()


@pytest.fixture
def other(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "other", sync=False)


@pytest.mark.parametrize("way", ["file", "stream"])
def test_what_lamella_saved_costs_no_second_copy(
    store: Store, layers: Layers, make: Make, other: Store, tmp_path: Path, way: str
) -> None:
    from snapshot.copying import Copying

    made = make("app:1", "app:2", parent=make("base:1"))
    data = saved(store, layers, "app")
    there = Layers(other, Copying(other.root))
    with other:
        events = load(other, there, source(data, way, tmp_path))
        assert [str(event.name and event.name.familiar) for event in events] == ["app:1", "app:2"]
        assert {event.image for event in events} == {made.id}
        found = [other.layers.get(diff_id) for diff_id in made.diff_ids]
        assert [layer and (layer.origin, layer.blob) for layer in found] == [("packed", None)] * 2
        kept = other.images.get(made.id)
        assert kept and kept.manifest == made.manifest
        assert {other.blobs.path(digest).stat().st_size for digest in other.blobs.walk()} < set(range(5000))
        assert saved(other, there, "app") == data


@pytest.mark.parametrize("way", ["file", "stream"])
def test_a_tar_that_only_begins_like_ours_is_kept(store: Store, layers: Layers, tmp_path: Path, way: str) -> None:
    plain = tar_of({"b": b"1", "a": b"2"})  # names that are not sorted
    for number in range(0, len(plain) - 1024, 1024):
        head = bytearray(plain[number : number + 512])
        head[100:108], head[257:265], head[148:156] = b"0000755\0", b"ustar\x0000", b" " * 8
        head[148:156] = b"%06o\0 " % sum(head)
        plain = plain[:number] + bytes(head) + plain[number + 512 :]
        if number >= 1024:
            break
    from layer.pack import looks_packed

    assert looks_packed(plain[:512])
    load(store, layers, source(tar(*docker_archive(plain)), way, tmp_path))
    layer = store.layers.get(DiffID(f"sha256:{hex_of(plain)}"))
    assert layer and layer.origin == "foreign"
    layers.verify(layer)


@pytest.mark.parametrize("way", ["file", "stream"])
def test_of_a_strangers_tar_no_second_copy_is_kept(store: Store, layers: Layers, tmp_path: Path, way: str) -> None:
    plain = tar_of({"large": os.urandom(2 << 20), "a": b"not in order"})
    load(store, layers, source(tar(*docker_archive(plain)), way, tmp_path))
    layer = store.layers.get(DiffID(f"sha256:{hex_of(plain)}"))
    assert layer and (layer.origin, layer.blob) == ("foreign", None) and layer.recipe
    assert sum(store.blobs.stat(digest) or 0 for digest in store.blobs.walk()) < 20_000
    out = io.BytesIO()
    layers.write_tar(layer, out.write)
    assert out.getvalue() == plain and plain in saved(store, layers, str(next(store.images.all()).id))


def test_several_images_share_their_layers_in_one_archive(store: Store, layers: Layers, make: Make) -> None:
    base = make("base:1")
    one, two = make("one:1", parent=base), make("two:1", parent=base)
    data = saved(store, layers, "one:1", "two:1", base.id)
    assert data.count(base.diff_ids[0].hex.encode() + b"\0") == 1
    events = load(store, layers, io.BytesIO(data))
    assert [(e.kind, e.image) for e in events] == [("tagged", one.id), ("tagged", two.id), ("untagged", base.id)]


def test_parents_that_come_along_stay_parents(store: Store, layers: Layers, make: Make, other: Store) -> None:
    from snapshot.copying import Copying

    base = make("base:1")
    child = make("app:1", parent=base)
    with other:
        load(other, Layers(other, Copying(other.root)), io.BytesIO(saved(store, layers, "base:1", "app:1")))
        kept = other.images.get(child.id)
        assert kept and kept.parent == base.id


def test_a_name_that_moves_is_told(store: Store, layers: Layers, make: Make) -> None:
    before = make("app:1")
    events = load(store, layers, io.BytesIO(tar(*docker_archive(LAYER))))
    assert events[0] == Loaded("moved", before.id, Reference.parse("app:1"))
    assert events[1].kind == "tagged" and len(events) == 2
    assert store.images.get(before.id)


def test_loading_again_changes_nothing(store: Store, layers: Layers) -> None:
    data = tar(*docker_archive(LAYER))
    first = load(store, layers, io.BytesIO(data))
    blobs = set(store.blobs.walk())
    assert load(store, layers, io.BytesIO(data)) == first
    assert set(store.blobs.walk()) == blobs


@pytest.mark.parametrize("way", ["file", "stream"])
def test_dockers_oldest_archives_are_loaded(store: Store, layers: Layers, tmp_path: Path, way: str) -> None:
    names = {"app": {"old": "l1", "older": "l0"}}
    events = load(store, layers, source(tar(*legacy(LAYER, SECOND, names=names)), way, tmp_path))
    assert [str(event.name and event.name.familiar) for event in events] == ["app:old", "app:older"]
    found = store.images.config(events[0].image)
    assert [entry.created_by for entry in found.history] == ["/bin/sh -c RUN 0 && true", "/bin/sh -c RUN 1 && true"]
    assert found.config.env == ("A=<b>",) and len(found.diff_ids) == 2
    # What docker 20.10 makes of the same archive.
    assert events[0].image.short == DOCKERS_ID


DOCKERS_ID = "0259ac3243fe"


class TestLayouts:
    @pytest.fixture
    def layout(self, tmp_path: Path) -> Layout:
        made = Layout(tmp_path / "layout")
        here, there = made.image(LAYER), made.image(LAYER, architecture="s390x")
        made.name(**{"app:one": here, "app:many": made.index(there, here), "latest": made.image(SECOND)})
        return made

    def test_a_directory_is_loaded(self, store: Store, layers: Layers, layout: Layout) -> None:
        events = load(store, layers, layout.path)
        assert sorted(str(e.name.familiar) if e.name else "" for e in events) == ["", "app:many", "app:one"]

    def test_digests_stay_as_they_were(self, store: Store, layers: Layers, layout: Layout) -> None:
        load(store, layers, layout.path)
        tag = store.tags.get(Reference.parse("app:many"))
        image = store.images.get(tag.image) if tag else None
        assert tag and image
        assert {tag.target.digest.hex, image.manifest.digest.hex} <= layout.blobs()
        assert tag.target.digest != image.manifest.digest

    def test_the_platform_decides(self, store: Store, layers: Layers, layout: Layout) -> None:
        wanted = Platform.parse("linux/s390x")
        made = Layout(layout.path.parent / "other")
        made.name(**{"app:many": made.index(made.image(LAYER), made.image(LAYER, architecture="s390x"))})
        (event,) = load(store, layers, made.path, platform=wanted)
        image = store.images.get(event.image)
        assert image and image.platform == wanted

    @pytest.mark.parametrize("way", ["file", "stream"])
    def test_a_tar_of_it_is_loaded(
        self, store: Store, layers: Layers, layout: Layout, tmp_path: Path, way: str
    ) -> None:
        files: list[File] = [
            (str(path.relative_to(layout.path)), path.read_bytes())
            for path in sorted(layout.path.rglob("*"))
            if path.is_file()
        ]
        assert len(load(store, layers, source(tar(*files), way, tmp_path))) == 3

    def test_nothing_outside_of_it_is_opened(self, store: Store, layers: Layers, layout: Layout) -> None:
        for path in (layout.path / "blobs/sha256").iterdir():
            path.rename(layout.path.parent / path.name)
            path.symlink_to(f"../../../{path.name}")
        with pytest.raises(Exception, match="lacks a file"):
            load(store, layers, layout.path)
