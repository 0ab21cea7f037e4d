"""A whole tree as a flat tar, encoded as a layer is: deterministic, with hard links and extended attributes."""

from __future__ import annotations

import contextlib
import errno
import os
import stat

from layer.pack import Packer, Write
from layer.pipeline import PIECE


def flatten(directory: str | os.PathLike[str], write: Write) -> None:
    """Give the tree at `directory` to `write` as a tar, piece by piece; nothing in it marks a deletion.

    Others may be changing it: what vanishes is left out, and a file that becomes shorter meanwhile is filled up with zeros,
    one that grows is cut. Raises OSError.
    """
    _Flat(write, None).run(directory)


class _Flat(Packer):
    reserved = b"/"  # which no name has
    changing = True

    def _is_opaque(self, fd: int, names: list[str]) -> bool:
        return False

    def _missing(self, count: int, path: bytes) -> bytes:
        return bytes(min(count, PIECE))

    def _open(self, directory: int, name: bytes) -> int:
        try:
            fd = super()._open(directory, name)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise FileNotFoundError from error
            raise
        if stat.S_ISREG(os.fstat(fd).st_mode):
            return fd
        os.close(fd)
        raise FileNotFoundError

    def _file(self, directory: int, name: bytes, path: bytes) -> None:
        with contextlib.suppress(FileNotFoundError):  # comes before anything is written
            super()._file(directory, name, path)

    def _other(self, directory: int, name: bytes, path: bytes) -> None:
        try:
            mode = os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                super()._other(directory, name, path)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EINVAL):  # gone, or no link any more
                raise
