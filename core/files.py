"""Files that are there whole or not at all, and stay after a power loss."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO


def fsync_directory(path: str | os.PathLike[str]) -> None:
    """Make the names in the directory at `path` durable. Harmless to repeat."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_directories(path: Path, mode: int = 0o755) -> Path:
    """Create `path` and its missing parents, each name durable before the next is made. Harmless to repeat."""
    missing = []
    current = path
    while not current.is_dir():
        missing.append(current)
        current = current.parent
    for directory in reversed(missing):
        with contextlib.suppress(FileExistsError):
            directory.mkdir(mode)
        fsync_directory(directory.parent)
    return path


@contextlib.contextmanager
def atomic_file(path: Path, *, mode: int = 0o644, sync: bool = True) -> Iterator[IO[bytes]]:
    """A file to write that takes the name `path` when the block ends well, and leaves nothing when it does not.

    Order: write without a name, fsync, a temporary name beside `path`, rename, fsync of the directory. So a kill leaves
    nothing either, but where the file system has no files without names.
    """
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    temporary = f".{path.name}.{os.urandom(6).hex()}.tmp"
    try:
        fd, named = _create(directory, temporary, mode)
        try:
            with os.fdopen(fd, "wb") as file:
                yield file
                file.flush()
                if sync:
                    os.fsync(file.fileno())
                if not named:  # a directory is given so that the link in /proc is followed, see linkat(2)
                    os.link(f"/proc/self/fd/{fd}", temporary, src_dir_fd=directory, dst_dir_fd=directory)
            os.rename(temporary, path.name, src_dir_fd=directory, dst_dir_fd=directory)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=directory)
            raise
        if sync:
            os.fsync(directory)
    finally:
        os.close(directory)


def _create(directory: int, name: str, mode: int) -> tuple[int, bool]:
    """A new file in the directory, open for writing, and whether it had to be given `name`."""
    flags = os.O_WRONLY | os.O_CLOEXEC
    try:
        return os.open(".", flags | os.O_TMPFILE, mode, dir_fd=directory), False
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT):
            raise
    return os.open(name, flags | os.O_CREAT | os.O_EXCL, mode, dir_fd=directory), True


def write_file(path: Path, data: bytes, *, mode: int = 0o644, sync: bool = True) -> None:
    """Replace the content of `path` by `data`, atomically and (unless `sync` is off) durably."""
    with atomic_file(path, mode=mode, sync=sync) as file:
        file.write(data)


def umask() -> int:
    """The process's umask, read without changing it, as os.umask would for all threads; all bits when /proc does not say."""
    with contextlib.suppress(OSError, ValueError), open("/proc/self/status", "rb") as status:
        for line in status:
            if line.startswith(b"Umask:"):
                return int(line.split()[1], 8)
    return 0o777
