"""Layers between the disk and the catalog: a sealed directory gets its row, a foreign tar becomes a directory, a directory
becomes its tar again. Whatever is written is hashed in the pass that writes it."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from core.errors import Integrity, LamellaError
from image.descriptor import Descriptor
from image.digest import DiffID, Digest
from layer.pack import PACK_VERSION, Packed
from layer.pipeline import Readable
from snapshot.protocol import Snapshotter
from store.blobs import CHUNK_BYTES, FSCK_HINT, BlobDamaged, BlobNotFound
from store.disk import disk_errors
from store.layers import Layer
from store.store import Store
from store.temporary import Claim

if TYPE_CHECKING:
    from pathlib import Path

    from layer.listing import Place
    from layer.recipe import Recorder
    from snapshot.arrival import Arrival

MAX_UNPACKED = 64  # each keeps a descriptor open until it is entered
Write = Callable[[bytes | memoryview], object]


class LayerDamaged(Integrity):
    """A layer on disk is not what its DiffID or listing says."""

    def __init__(self, layer: Layer, why: str) -> None:
        super().__init__(f"layer {layer.diff_id} (directory {layer.directory}) is damaged: {why}", FSCK_HINT)
        self.why = why


class Layers:
    """The layers of one store. Usable from several threads."""

    def __init__(self, store: Store, snapshotter: Snapshotter) -> None:
        self._store = store
        self._snapshotter = snapshotter
        self._waiting = threading.local()
        self._guard = threading.Lock()
        self._unpacked: list[tuple[Layer, Claim]] = []

    def adopt(self, directory: str, packed: Packed) -> Layer:
        """Give the sealed `directory` its row under its DiffID, held by this process's lease. Where there is a twin, that
        one is returned and the directory removed. Inside or outside a transaction. Raises LayerInUse."""
        from snapshot.entering import enter

        winner, stays = enter(self._store, packed_layer(directory, packed))
        if stays:
            self._unsettled().append(directory)
        else:
            self._snapshotter.settle(directory, keep=False)
        self._settle()
        return winner

    def _unsettled(self) -> list[str]:
        """What this thread has adopted in its own transaction."""
        names: list[str] = self._waiting.__dict__.setdefault("names", [])
        return names

    def _settle(self) -> None:
        """Directories whose rows have been committed need no claim any more; inside a transaction they still do."""
        names = self._unsettled()
        while names and not self._store.database.in_transaction():
            self._snapshotter.settle(names.pop())

    def find(self, diff_id: DiffID) -> Layer | None:
        """The layer if it is here and no damage is known of it, held by this process's lease from now on."""
        with self._store.database.write(durable=False):
            layer = self._store.layers.get(diff_id)
            if layer:
                self._store.leases.session.hold_layer(diff_id)
            return layer if layer and layer.damaged is None else None

    def unpack(self, diff_id: DiffID, blob: Descriptor, stream: Readable) -> Layer:
        """Make the uncompressed tar `stream` a layer, whose compressed form is the kept `blob`. The store knows it only
        after `enter`: a row promises the files, and after a power loss the next pull would believe it.

        Raises Integrity where the tar is not `diff_id`, what `apply_layer` raises for bad input, Unavailable when the disk
        is full; nothing is left then.
        """
        with disk_errors(self._store.root), self.receive(stream, algorithm=diff_id.algorithm) as arrival:
            if arrival.diff_id != diff_id:
                raise Integrity(
                    f"the layer's tar hashes to {arrival.diff_id}, the image config says {diff_id}",
                    "the image is broken or was tampered with; ask who pushed it",
                )
            return arrival.keep(blob)

    def receive(
        self, stream: Readable, *, algorithm: str = "sha256", listed: bool = True, recorded: bool = False
    ) -> Arrival:
        """Unpack the uncompressed tar `stream`, whose DiffID nobody knows yet; the caller decides how it is kept.

        `listed` off: it will be kept without a listing, so files are not hashed one by one. `recorded`: its tar may be kept as
        a recipe. Raises what `apply_layer` raises for bad input, Unavailable when the disk is full; nothing is left then.
        """
        from layer.apply import apply_layer
        from snapshot.arrival import Arrival

        with disk_errors(self._store.root), contextlib.ExitStack() as stack:
            fd, home = self._store.temporaries.directory()
            claim = Claim(self._store.root, fd, home)
            stack.callback(claim.settle, keep=False)
            recorder = self._recorder(claim.home, algorithm, stack) if recorded else None
            target = claim.home / "diff"
            target.mkdir(0o755)
            contents: dict[bytes, bytes | int] = {}
            applied = apply_layer(
                stream, target, contents=contents if listed else None, algorithm=algorithm,
                durable=self._store.sync, recorder=recorder,
            )  # fmt: skip
            stack.pop_all()
        return Arrival(self._store, claim, applied, contents, self._kept, recorder)

    @staticmethod
    def _recorder(home: Path, algorithm: str, stack: contextlib.ExitStack) -> Recorder:
        from layer.recipe import Recorder

        recorder = Recorder(home, algorithm)
        stack.callback(recorder.close)
        return recorder

    def _kept(self, layer: Layer, claim: Claim) -> None:
        with self._guard:
            self._unpacked.append((layer, claim))
        if len(self._unpacked) >= MAX_UNPACKED:
            self.enter()

    def abandon(self) -> None:
        """Remove all that was unpacked and has not been entered. Harmless to repeat."""
        with self._guard:
            entries, self._unpacked = self._unpacked, []
        for _, claim in entries:
            claim.settle(keep=False)

    def enter(self) -> None:
        """Give all that was unpacked its rows, in one transaction, after one `Store.sync_layers`. Of two processes that
        unpacked the same layer one wins, and the other's directory goes; a damaged one always loses. Harmless to repeat.
        Raises LayerInUse where that cannot be, because something runs on it."""
        with self._guard:
            entries, self._unpacked = self._unpacked, []
        if not entries:
            return
        from snapshot.entering import enter

        kept: set[str] = set()
        try:
            with disk_errors(self._store.root):
                self._store.sync_layers()
            with self._store.transaction():
                staying = {layer.directory for layer, _ in entries if enter(self._store, layer)[1]}
            kept = staying
        finally:
            for layer, claim in entries:
                claim.settle(keep=layer.directory in kept)

    def write_tar(self, layer: Layer, write: Write, *, hashed: bool = True) -> None:
        """Give the layer's tar to `write`, piece by piece. Raises Integrity where it is not its DiffID any more: what was
        written is then not to be used, and the layer is in quarantine from now on.

        `hashed` off: what we packed ourselves may show by its checksum that the disk still has what was hashed then.
        """
        try:
            if layer.origin == "packed" and layer.checksum is not None and not hashed:
                self._check(layer, write)
            elif layer.origin == "packed":
                self._pack(layer, write)
            elif layer.recipe:
                self._remake(layer, layer.recipe, write)
            else:
                self._decompress(layer, write)
        except (LayerDamaged, BlobDamaged, BlobNotFound) as error:
            with contextlib.suppress(LamellaError):
                self._store.quarantine.add(layer, getattr(error, "why", error.message))
            raise

    def _check(self, layer: Layer, write: Write) -> None:
        from layer.pack import check

        path = self._store.layer_path(layer.directory)
        with _nothing_missing(layer, path):
            size, checksum = check(path, write)
        if (size, checksum) != (layer.size, layer.checksum):
            raise LayerDamaged(layer, f"it packs to {size} bytes with the checksum {checksum:08x}")

    def _pack(self, layer: Layer, write: Write) -> None:
        from layer.pack import stream

        path = self._store.layer_path(layer.directory)
        with _nothing_missing(layer, path):
            found = stream(path, write)
        if found != layer.diff_id:
            raise LayerDamaged(layer, f"it packs to {found}")

    def _remake(self, layer: Layer, recipe: Digest, write: Write) -> None:
        from layer.compression import decompressor
        from layer.decompression import Damaged
        from layer.pipeline import HashingWriter
        from layer.recipe import BadRecipe, Lost, remake

        out = HashingWriter(write, layer.diff_id.algorithm)
        try:
            with self._store.blobs.open(recipe) as file:
                remake(decompressor(file, "zstd"), self._store.layer_path(layer.directory), out.write)
        except (BadRecipe, Lost, Damaged) as error:
            raise LayerDamaged(layer, error.message) from error
        except FileNotFoundError as error:
            raise LayerDamaged(layer, f"{os.fsdecode(error.filename)} is missing") from error
        finally:
            out.close()
        if out.digest().hex != layer.diff_id.hex:
            raise LayerDamaged(layer, f"its directory makes {out.digest()} by its recipe")

    def _decompress(self, layer: Layer, write: Write) -> None:
        import hashlib

        from layer.compression import decompressor

        if layer.blob is None:
            raise LayerDamaged(layer, "its blob is not known")
        found = hashlib.new(layer.diff_id.algorithm)
        with self._store.blobs.open(layer.blob.digest) as file:
            tar = decompressor(file)
            while data := _piece(layer, tar):
                found.update(data)
                write(data)
            while file.read(CHUNK_BYTES):  # what may follow the compressed data is part of the blob's digest
                pass
        if found.hexdigest() != layer.diff_id.hex:
            raise LayerDamaged(layer, f"its blob decompresses to {found.hexdigest()}")

    def directories(self, diff_ids: Sequence[DiffID]) -> list[str]:
        """The directories to prepare a snapshot on, bottom first, held by this process's lease. Raises NotFound naming the
        layer that is missing, and Quarantined."""
        session = self._store.leases.session
        with self._store.database.write(durable=False):
            found = self._store.layers.stack(diff_ids)
            for diff_id in dict.fromkeys(diff_ids):
                session.hold_layer(diff_id)
        return [layer.directory for layer in found]

    def verify(self, layer: Layer) -> None:
        """Read everything there is of the layer. Raises Integrity saying what differs."""
        path = self._store.layer_path(layer.directory)
        if not path.is_dir():
            raise LayerDamaged(layer, "the directory is missing")
        if layer.listing is None:
            self.write_tar(layer, lambda data: None)
            return
        from layer.comparison import Comparison

        placed = self._verify_listing(layer, layer.listing, path)
        if layer.recipe:  # the tar is made of the very files that would be compared
            self.write_tar(layer, lambda data: None)
            return
        comparison = Comparison(path, placed)
        self.write_tar(layer, comparison.write)
        comparison.close()
        _blame(layer, comparison.wrong)

    def _verify_listing(self, layer: Layer, listing: Digest, path: Path) -> list[Place]:
        """All but what is compared with the tar: that is returned."""
        from layer.listing import places, verify

        with self._store.blobs.open(listing) as file:
            placed = places(file.lines())
        with self._store.blobs.open(listing) as file:
            _blame(layer, verify(path, file.lines(), placed))
        return placed


def packed_layer(directory: str, packed: Packed) -> Layer:
    """The row of a directory that was packed."""
    return Layer(packed.diff_id, directory, packed.size, "packed", PACK_VERSION, checksum=packed.checksum)


@contextlib.contextmanager
def _nothing_missing(layer: Layer, path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise LayerDamaged(layer, f"{error.filename or path} is missing") from error


def _piece(layer: Layer, tar: Readable) -> bytes:
    from layer.decompression import Damaged

    try:
        return tar.read(CHUNK_BYTES)
    except Damaged as error:
        raise LayerDamaged(layer, error.message) from error


def _blame(layer: Layer, wrong: list[str]) -> None:
    if wrong:
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise LayerDamaged(layer, f"{wrong[0]}{more}")
