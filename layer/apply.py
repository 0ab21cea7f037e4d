"""A layer's tar as an overlay-format directory, and a user's archive unpacked into a root. Input is hostile."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from core.errors import Unsupported
from image.digest import DiffID
from layer.limits import DEFAULT, Limits
from layer.pipeline import Readable


@dataclass(frozen=True, slots=True)
class Applied:
    """What the pass over the tar found out: `size` is the tar's bytes."""

    diff_id: DiffID
    size: int
    entries: int


def apply_layer(
    stream: Readable, directory: Path, *, limits: Limits = DEFAULT, digests: dict[bytes, bytes] | None = None
) -> Applied:
    """Unpack the uncompressed layer tar `stream` into the existing, empty `directory`, which becomes the layer's root.

    Whiteouts become character devices 0:0, opaque directories get overlayfs' attribute. The stream is read to its end,
    so that the DiffID is that of all its bytes. `digests`, when given, is filled with path → sha256 of the regular
    files, for `layer.listing`. Raises InvalidInput or Integrity naming the entry; the directory is garbage then.
    """
    raise Unsupported("not yet")


def extract(
    stream: Readable,
    root: Path,
    destination: str,
    *,
    owner: tuple[int, int] | None = None,
    limits: Limits = DEFAULT,
) -> int:
    """Unpack a user's uncompressed archive into `destination` inside `root`, merged with what is there.

    Links are followed inside `root` only, as in a chroot. `owner` (uid, gid) replaces the archive's owners. Returns
    the number of entries. Raises InvalidInput or Integrity naming the entry.
    """
    raise Unsupported("not yet")
