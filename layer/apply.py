"""A layer's tar as an overlay-format directory, and a user's archive unpacked into a root. Input is hostile.

In a layer, `.wh.` names are whiteouts of what lower layers hold (image-spec layer.md "Whiteouts"): they never hide
what the same layer brings, whichever comes first.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import InvalidInput
from core.value import Value
from image.digest import DiffID
from layer.limits import DEFAULT, Limits
from layer.overlayfs import META, OPAQUE, WHITEOUT, make_opaque
from layer.pipeline import HashingReader, Readable
from layer.reader import CHARACTER, Archive, Entry
from layer.tree import Place, parts
from layer.unpack import Content, Unpacker

if TYPE_CHECKING:
    from layer.recipe import Recorder

__all__ = ["Applied", "Limits", "apply_layer", "extract"]


class Applied(Value):
    """What the pass over the tar found out: `size` is the tar's bytes."""

    diff_id: DiffID
    size: int
    entries: int


def apply_layer(
    stream: Readable,
    directory: Path,
    *,
    limits: Limits = DEFAULT,
    contents: dict[bytes, Content] | None = None,
    algorithm: str = "sha256",
    durable: bool = False,
    recorder: Recorder | None = None,
) -> Applied:
    """Unpack the uncompressed layer tar `stream` into the existing, empty `directory`, which becomes the layer's root.

    Whiteouts become character devices 0:0, opaque directories get overlayfs' attribute. The stream is read to its end,
    so that the DiffID is that of all its bytes. `contents`, when given, is filled with path → sha256 of the regular
    files, or place in the tar of the large ones, for `layer.listing`. `algorithm` is the DiffID's; `durable` says that a
    sync will follow. A `recorder` of that algorithm writes down how the tar is made again, and hashes it. Raises InvalidInput
    or Integrity naming the entry; the directory is garbage then.
    """
    source = None if recorder else HashingReader(stream, algorithm)
    archive = Archive(source or stream, limits, told=recorder.take if recorder else None)
    try:
        with _LayerUnpacker(
            archive, directory, fresh=True, contents=contents, durable=durable, recorder=recorder
        ) as unpacker:
            os.chmod(unpacker.tree.root, 0o755)
            unpacker.run()
        archive.drain()
        seen = source or recorder
        assert seen is not None
        return Applied(DiffID(seen.digest()), seen.count, archive.entries)
    finally:
        if source:
            source.close()


def extract(
    stream: Readable,
    root: Path,
    destination: str,
    *,
    owner: tuple[int, int] | None = None,
    limits: Limits = DEFAULT,
    durable: bool = False,
) -> int:
    """Unpack a user's uncompressed archive into `destination` inside `root`, merged with what is there.

    Links are followed inside `root` only, as in a chroot; files replace what bears their name. A destination that
    exists keeps its owner, mode and time; a missing one is made (0755). `owner` (uid, gid) replaces the archive's
    owners; `durable` says that a sync will follow. Returns the number of entries. Raises InvalidInput or Integrity naming the entry; what came before it stays.
    """
    archive = Archive(stream, limits)
    with _UserUnpacker(archive, root, owner=owner, durable=durable) as unpacker:
        try:
            unpacker.tree.enter(os.fsencode(destination))
        except OSError as error:
            raise InvalidInput(f"cannot unpack into {destination!r}: {(error.strerror or '').lower()}") from error
        unpacker.run()
    archive.drain()
    return archive.entries


class _UserUnpacker(Unpacker):
    def put(self, entry: Entry, place: Place, base: bytes) -> None:
        if entry.kind == CHARACTER and entry.device == (0, 0):  # as overlayfs itself refuses it
            raise InvalidInput("a character device 0:0 is how overlay file systems mark what is deleted")
        super().put(entry, place, base)


class _LayerUnpacker(Unpacker):
    def root(self, entry: Entry) -> None:
        super().root(entry)
        self.final(b"", entry)

    def child(self, entry: Entry, parent: bytes, base: bytes) -> None:
        if WHITEOUT not in entry.name:
            self.put(entry, self.tree.directory(parent), base)
            return
        above = parts(parent)
        if any(part.startswith(META) for part in above):  # what aufs kept for itself
            return
        if any(part.startswith(WHITEOUT) for part in above):
            raise InvalidInput("a name below a whiteout")
        if base == OPAQUE:
            make_opaque(self.tree.directory(parent)[0])
        elif not base.startswith(WHITEOUT):
            self.put(entry, self.tree.directory(parent), base)
        elif not base.startswith(META):
            self._whiteout(self.tree.directory(parent), base[len(WHITEOUT) :])

    def _whiteout(self, place: Place, name: bytes) -> None:
        if name in (b"", b".", b".."):
            raise InvalidInput("a whiteout of no name")
        try:
            os.mknod(name, stat.S_IFCHR, 0, dir_fd=place[0])
        except FileExistsError:
            if stat.S_ISDIR(os.stat(name, dir_fd=place[0], follow_symlinks=False).st_mode):
                self.opaque(place[0], name)
