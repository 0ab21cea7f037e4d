"""Layers between disk and catalog: adopted, unpacked, made into tars again, verified; and of twins one."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.errors import Integrity, LamellaError, NotFound, Unavailable
from core.value import replace
from image.descriptor import Descriptor
from image.digest import DiffID, Digest
from image.media_types import OCI_LAYER_GZIP
from layer.pack import pack
from snapshot.layers import MAX_UNPACKED, LayerDamaged, Layers
from snapshot.overlay import Overlay
from store.blobs import BlobDamaged
from store.collect import collect
from store.layers import Layer
from store.records import Record
from store.store import Store
from tests.conftest import ROOT, needs
from tests.suites.contained import inside

pytestmark = needs("mount")


@pytest.fixture
def store(store_root: Path) -> Iterator[Store]:
    with Store.open(store_root) as opened:
        yield opened


@pytest.fixture
def layers(store: Store) -> Layers:
    return Layers(store, Overlay(store.root))


def sealed(store: Store, layers: Layers, key: str, content: str) -> Layer:
    """A layer made by a step that needed no mount."""
    snapshots = layers._snapshotter
    snapshots.prepare(key, [])
    file = store.root / "snapshots" / key / "upper/file"
    file.write_text(content)
    os.utime(file, (5, 5))
    name = snapshots.seal(key)
    return layers.adopt(name, pack(store.layer_path(name)))


def foreign(store: Store, layers: Layers, tar: bytes) -> Layer:
    data = gzip.compress(tar)
    blob = Descriptor(OCI_LAYER_GZIP, store.blobs.add(data), len(data))
    layer = layers.unpack(DiffID.of(tar), blob, io.BytesIO(tar))
    layers.enter()
    return store.layers.get(layer.diff_id) or layer


def with_recipe(store: Store, layers: Layers, tar: bytes) -> Layer:
    """A foreign layer of which no tar is kept."""
    with layers.receive(io.BytesIO(tar), recorded=True) as arrival:
        layer = arrival.keep_recipe()
    layers.enter()
    return store.layers.get(layer.diff_id) or layer


def a_tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, content in (("etc/", None), ("etc/motd", b"hello"), ("etc/.wh.gone", b""), ("empty/", None)):
            info = tarfile.TarInfo(name.rstrip("/"))
            info.type, info.mode = (tarfile.DIRTYPE, 0o755) if content is None else (tarfile.REGTYPE, 0o640)
            info.size, info.uid, info.mtime = len(content or b""), 1000, 77
            tar.addfile(info, io.BytesIO(content or b""))
    return out.getvalue()


def left(store: Store) -> list[str]:
    return [name for place in ("tmp", "layers", "snapshots") for name in os.listdir(store.root / place)]


class TestAdopt:
    def test_a_sealed_directory_gets_its_row_and_nothing_else_is_left(self, store: Store, layers: Layers) -> None:
        layer = sealed(store, layers, "one", "x")
        assert store.layers.get(layer.diff_id) == layer and layer.origin == "packed"
        assert left(store) == [layer.directory]

    def test_a_twin_wins_and_the_new_directory_goes(self, store: Store, layers: Layers) -> None:
        first, second = sealed(store, layers, "one", "x"), sealed(store, layers, "two", "x")
        assert first == second and left(store) == [first.directory]

    def test_inside_a_transaction_the_claim_stays_until_it_is_committed(self, store: Store, layers: Layers) -> None:
        with pytest.raises(RuntimeError), store.transaction():
            lost = sealed(store, layers, "one", "x")
            raise RuntimeError
        assert (store.root / "tmp" / lost.directory).exists()
        assert store.layers.get(lost.diff_id) is None
        with store.transaction():
            kept = sealed(store, layers, "two", "y")
        collect(store)
        assert store.layer_path(kept.directory).is_dir()

    def test_what_was_just_adopted_is_held(self, store: Store, layers: Layers, store_root: Path) -> None:
        layer = sealed(store, layers, "one", "x")
        with Store.open(store_root) as other:
            assert collect(other, full=True).layers == []
            store.close()
            assert collect(other).layers == [layer.diff_id] and left(other) == []


class TestUnpack:
    def test_a_tar_becomes_a_directory_with_its_blob_and_listing(self, store: Store, layers: Layers) -> None:
        layer = foreign(store, layers, a_tar())
        path = store.layer_path(layer.directory)
        assert (path / "etc/motd").read_bytes() == b"hello" and (path / "etc/motd").stat().st_uid == 1000
        assert (path / "etc/gone").is_char_device()
        assert layer.origin == "foreign" and layer.blob and layer.listing and store.blobs.stat(layer.listing)
        assert store.layers.by_blob(layer.blob.digest) == layer.diff_id
        assert left(store) == [layer.directory]

    def test_it_has_no_row_before_the_disk_has_its_files(
        self, store: Store, layers: Layers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tars = [a_tar() + bytes(512 * n) for n in range(MAX_UNPACKED + 1)]
        rows: list[int] = []
        monkeypatch.setattr(store, "sync_layers", lambda: rows.append(len(list(store.layers.all()))))
        for tar in tars:
            blob = Descriptor(OCI_LAYER_GZIP, store.blobs.add(tar), len(tar))
            layers.unpack(DiffID.of(tar), blob, io.BytesIO(tar))
        layers.enter()
        layers.enter()
        assert rows == [0, MAX_UNPACKED] and len(list(store.layers.all())) == len(tars)

    def test_what_is_never_entered_goes_with_its_process(self, store: Store, store_root: Path) -> None:
        script = (
            "import sys; from pathlib import Path; from tests.snapshot.test_layers import *\n"
            "store = Store.open(Path(sys.argv[1]))\n"
            "Layers(store, Overlay(store.root)).unpack(DiffID.of(a_tar()), Descriptor('t', Digest.of(b''), 0), io.BytesIO(a_tar()))\n"
            "os.kill(os.getpid(), 9)"
        )
        subprocess.run([sys.executable, "-c", script, str(store_root)], cwd=ROOT, check=False)
        assert list(store.layers.all()) == [] and left(store) != []
        collect(store)
        assert left(store) == []

    def test_a_real_file_system_is_unpacked_and_verified(self, store: Store, layers: Layers, rootfs_tar: Path) -> None:
        layer = foreign(store, layers, gzip.decompress(rootfs_tar.read_bytes()))
        layers.verify(layer)
        assert os.access(store.layer_path(layer.directory) / "bin/busybox", os.X_OK)

    def test_another_tar_than_the_config_names_is_refused(self, store: Store, layers: Layers) -> None:
        with pytest.raises(Integrity, match="the image config says"):
            layers.unpack(DiffID.of(b"?"), Descriptor("t", Digest.of(b"?"), 1), io.BytesIO(a_tar()))
        assert left(store) == [] and list(store.layers.all()) == []

    @pytest.mark.parametrize("cut", [1, 700, 1500])
    def test_a_tar_that_breaks_off_leaves_nothing(self, store: Store, layers: Layers, cut: int) -> None:
        with pytest.raises(LamellaError):
            layers.unpack(DiffID.of(a_tar()), Descriptor("t", Digest.of(b"?"), 1), io.BytesIO(a_tar()[:cut]))
        assert left(store) == [] and list(store.layers.all()) == []

    def test_a_full_disk_is_told_and_leaves_nothing(self, tmp_path: Path) -> None:
        def work() -> None:
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", tmp_path], check=True)
            out = io.BytesIO()
            with tarfile.open(fileobj=out, mode="w") as tar:
                info = tarfile.TarInfo("large")
                info.size = 8 << 20
                tar.addfile(info, io.BytesIO(os.urandom(info.size)))
            with Store.open(tmp_path / "store") as store:
                layers = Layers(store, Overlay(store.root))
                with pytest.raises(Unavailable, match="no space left") as caught:
                    layers.unpack(
                        DiffID.of(out.getvalue()), Descriptor("t", Digest.of(b"?"), 1), io.BytesIO(out.getvalue())
                    )
                assert "lamella image prune" in (caught.value.hint or "")
                assert left(store) == []

        inside(work)

    def test_of_two_processes_that_unpack_the_same_layer_one_wins_and_both_get_it(self, store: Store) -> None:
        script = (
            "import sys, io, gzip; from pathlib import Path\n"
            "from tests.snapshot.test_layers import *\n"
            "store = Store.open(Path(sys.argv[1])); sys.stdin.read(1)\n"
            "for n in range(10): print(foreign(store, Layers(store, Overlay(store.root)), a_tar() + bytes(512 * n)).directory)\n"
            "store.close()"
        )
        command = [sys.executable, "-c", script, str(store.root)]
        pair = [
            subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(3)
        ]
        for process in pair:
            assert process.stdin
            process.stdin.write("go")
            process.stdin.flush()
        results = [process.communicate(timeout=60)[0].split() for process in pair]
        assert len(results[0]) == 10 and results[0] == results[1] == results[2]
        assert sorted(left(store)) == sorted(results[0])


class TestTar:
    def test_a_packed_layer_is_packed_again(self, store: Store, layers: Layers) -> None:
        layer = sealed(store, layers, "one", "x" * 5000)
        out = io.BytesIO()
        layers.write_tar(layer, out.write)
        assert DiffID.of(out.getvalue()) == layer.diff_id and len(out.getvalue()) == layer.size

    def test_a_foreign_layer_gives_the_very_bytes_it_came_as(self, store: Store, layers: Layers) -> None:
        out = io.BytesIO()
        layers.write_tar(foreign(store, layers, a_tar()), out.write)
        assert out.getvalue() == a_tar()

    def test_a_changed_directory_is_found_while_it_is_packed(self, store: Store, layers: Layers) -> None:
        layer = sealed(store, layers, "one", "x")
        (store.layer_path(layer.directory) / "file").write_text("y")
        with pytest.raises(LayerDamaged, match=r"is damaged: it packs to") as caught:
            layers.write_tar(layer, lambda data: None)
        assert layer.diff_id in caught.value.message and "lamella fsck" in (caught.value.hint or "")

    def test_it_is_sent_by_its_checksum_without_hashing(self, store: Store, layers: Layers) -> None:
        layer = sealed(store, layers, "one", "x" * 900_000)
        assert layer.checksum is not None and layer == store.layers.get(layer.diff_id)
        out = io.BytesIO()
        layers.write_tar(replace(layer, diff_id=DiffID.of(b"never looked at")), out.write, hashed=False)
        assert DiffID.of(out.getvalue()) == layer.diff_id and zlib.crc32(out.getvalue()) == layer.checksum

    @pytest.mark.parametrize("known", [True, False], ids=["checksum", "of an older store"])
    def test_damage_is_found_while_it_is_sent(self, store: Store, layers: Layers, known: bool) -> None:
        layer = sealed(store, layers, "one", "x" * 900_000)
        file = store.layer_path(layer.directory) / "file"
        with file.open("r+b") as damaged:
            damaged.seek(700_000)
            damaged.write(b"y")
        with pytest.raises(LayerDamaged, match="packs to"):
            layers.write_tar(layer if known else replace(layer, checksum=None), lambda data: None, hashed=False)
        found = store.layers.get(layer.diff_id)
        assert found and found.damaged

    def test_a_missing_directory_is_told(self, store: Store, layers: Layers) -> None:
        layer = sealed(store, layers, "one", "x")
        subprocess.run(["rm", "-r", store.layer_path(layer.directory)], check=True)
        with pytest.raises(LayerDamaged, match="missing"):
            layers.write_tar(layer, lambda data: None)
        with pytest.raises(LayerDamaged, match="the directory is missing"):
            layers.verify(layer)

    def test_a_damaged_blob_is_found_while_it_is_decompressed(self, store: Store, layers: Layers) -> None:
        layer = foreign(store, layers, a_tar())
        assert layer.blob
        path = store.blobs.path(layer.blob.digest)
        path.chmod(0o644)
        path.write_bytes(gzip.compress(a_tar(), compresslevel=1) + b"\0")
        with pytest.raises(Integrity) as caught:
            layers.write_tar(layer, lambda data: None)
        assert isinstance(caught.value, BlobDamaged | Integrity)


class TestRecipe:
    def test_the_tar_is_made_again_and_nothing_of_it_is_kept(
        self, store: Store, layers: Layers, rootfs_tar: Path
    ) -> None:
        for tar in (a_tar(), gzip.decompress(rootfs_tar.read_bytes())):
            layer = with_recipe(store, layers, tar)
            assert (
                (layer.origin, layer.blob, layer.size) == ("foreign", None, len(tar)) and layer.listing and layer.recipe
            )
            out = io.BytesIO()
            layers.write_tar(layer, out.write)
            assert out.getvalue() == tar
            layers.verify(layer)
        kept = sum(store.blobs.stat(digest) or 0 for digest in store.blobs.walk())
        assert kept < len(tar) // 10

    def test_the_recipe_goes_with_its_layer_and_not_before(
        self, store: Store, layers: Layers, store_root: Path
    ) -> None:
        layer = with_recipe(store, layers, a_tar())
        assert layer.recipe
        store.records.add(Record("key", layer.diff_id, b"", 1, 1, 1))
        store.close()
        with Store.open(store_root) as other:
            collect(other, full=True)
            assert other.blobs.stat(layer.recipe)
            other.records.delete("key")
            gone = collect(other)
            assert gone.layers == [layer.diff_id] and layer.recipe in gone.blobs and list(other.blobs.walk()) == []

    @pytest.mark.parametrize("damage", ["content", "shorter", "gone", "recipe", "no recipe"])
    def test_damage_is_found_while_it_is_made_and_nobody_uses_the_layer_then(
        self, store: Store, layers: Layers, damage: str
    ) -> None:
        layer = with_recipe(store, layers, a_tar())
        assert layer.recipe
        file, recipe = store.layer_path(layer.directory) / "etc/motd", store.blobs.path(layer.recipe)
        recipe.chmod(0o644)
        if damage == "content":
            file.write_bytes(b"HELLO")
        elif damage == "shorter":
            file.write_bytes(b"h")
        elif damage == "recipe":
            recipe.write_bytes(recipe.read_bytes()[:-9])
        else:
            (file if damage == "gone" else recipe).unlink()
        with pytest.raises(LamellaError):
            layers.write_tar(layer, lambda data: None)
        found = store.layers.get(layer.diff_id)
        assert found and found.damaged and layers.find(layer.diff_id) is None

    def test_a_good_one_takes_the_place_of_a_damaged_one_recipe_and_all(self, store: Store, layers: Layers) -> None:
        old = with_recipe(store, layers, a_tar())
        store.quarantine.add(old, "for a test")
        new = with_recipe(store, layers, a_tar())
        assert new.damaged is None and new.recipe == old.recipe and new.directory == old.directory
        layers.verify(new)
        store.quarantine.add(new, "again")
        kept = foreign(store, layers, a_tar())
        assert kept.damaged is None and kept.recipe is None and kept.blob
        layers.verify(kept)

    def test_a_recipe_that_finds_no_room_is_told_and_leaves_nothing(self, tmp_path: Path) -> None:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            for content in (os.urandom(2_200_000), b"takes its place"):
                info = tarfile.TarInfo("file")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))

        def work() -> None:
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", tmp_path], check=True)
            with Store.open(tmp_path / "store") as store:
                layers = Layers(store, Overlay(store.root))
                arrival = layers.receive(io.BytesIO(out.getvalue()), recorded=True)
                with pytest.raises(Unavailable, match="no space left"), arrival:
                    arrival.keep_recipe()
                assert left(store) == []

        inside(work)

    def test_a_tar_that_breaks_off_leaves_nothing(self, store: Store, layers: Layers) -> None:
        with pytest.raises(LamellaError):
            layers.receive(io.BytesIO(a_tar()[:700]), recorded=True)
        with layers.receive(io.BytesIO(a_tar()), recorded=True):
            pass  # nobody wants it
        assert left(store) == [] and list(store.blobs.walk()) == []


class TestVerify:
    def test_what_is_whole_passes(self, store: Store, layers: Layers) -> None:
        layers.verify(sealed(store, layers, "one", "x"))
        layers.verify(foreign(store, layers, a_tar()))

    @pytest.mark.parametrize("keep", [foreign, with_recipe])
    def test_a_flipped_byte_in_a_large_file_is_found(
        self, store: Store, layers: Layers, keep: Callable[[Store, Layers, bytes], Layer]
    ) -> None:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            info = tarfile.TarInfo("large")
            info.size = 3 << 20
            tar.addfile(info, io.BytesIO(bytes(info.size)))
        layer = keep(store, layers, out.getvalue())
        layers.verify(layer)
        path = store.layer_path(layer.directory) / "large"
        times = path.stat()
        with path.open("r+b") as file:
            file.seek(2_000_000)
            file.write(b"\1")
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        with pytest.raises(
            LayerDamaged, match=r"/large: content is not what the layer's tar has|its directory makes sha256:"
        ):
            layers.verify(layer)

    @pytest.mark.parametrize("keep", [foreign, with_recipe])
    @pytest.mark.parametrize("damage", ["content", "mode", "more", "less"])
    def test_what_changed_in_a_foreign_layer_is_named(
        self, store: Store, layers: Layers, damage: str, keep: Callable[[Store, Layers, bytes], Layer]
    ) -> None:
        layer = keep(store, layers, a_tar())
        path = store.layer_path(layer.directory)
        if damage == "content":
            status = (path / "etc/motd").stat()
            (path / "etc/motd").write_bytes(b"HELLO")
            os.utime(path / "etc/motd", ns=(status.st_mtime_ns, status.st_mtime_ns))
        elif damage == "mode":
            (path / "etc/motd").chmod(0o777)
        elif damage == "more":
            (path / "empty/more").write_text("x")
        else:
            (path / "etc/motd").unlink()
        with pytest.raises(LayerDamaged, match="/empty" if damage == "more" else "/etc"):
            layers.verify(layer)


class TestDirectories:
    def test_they_come_in_order_and_repeat_as_the_image_does(self, store: Store, layers: Layers) -> None:
        one, two = sealed(store, layers, "one", "x"), sealed(store, layers, "two", "y")
        asked = [two.diff_id, one.diff_id, two.diff_id]
        assert layers.directories(asked) == [two.directory, one.directory, two.directory]

    def test_a_missing_layer_is_named(self, store: Store, layers: Layers) -> None:
        with pytest.raises(NotFound, match=DiffID.of(b"?")):
            layers.directories([sealed(store, layers, "one", "x").diff_id, DiffID.of(b"?")])

    def test_what_is_found_is_held(self, store: Store, layers: Layers, store_root: Path) -> None:
        layer = sealed(store, layers, "one", "x")
        store.leases.close()
        assert layers.find(layer.diff_id) == layer and layers.find(DiffID.of(b"?")) is None
        with Store.open(store_root) as other:
            assert collect(other, full=True).layers == []
