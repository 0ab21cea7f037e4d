"""Puts the entries of an archive into a tree, one after the other, with the meaning they have in a user's archive.

Files are created with O_EXCL, never opened: what bears the name already is taken away first. Directories get their
mode, owner, time and attributes at the very end, so that nothing written below changes them again.
"""

from __future__ import annotations

import errno
import os
import stat
from hashlib import sha256
from typing import TYPE_CHECKING

from core.errors import Integrity, InvalidInput, LamellaError, Unavailable, Unsupported
from core.files import umask
from core.writeback import Writeback
from layer import reader
from layer.overlayfs import WHITEOUT, carried, make_opaque
from layer.reader import Archive, Entry, TooMuch, Truncated, shown
from layer.records import BadHeader
from layer.tree import DIRECTORY, Place, Tree, join, parts

if TYPE_CHECKING:
    from layer.recipe import Recorder

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
_PLACED = 64 << 10
_FORMS = {reader.CHARACTER: stat.S_IFCHR, reader.BLOCK_DEVICE: stat.S_IFBLK, reader.FIFO: stat.S_IFIFO}

Content = bytes | int
"""What tells a file's content: its sha256, or where it begins in the archive's stream."""


class _Final:
    """What a directory gets when everything is unpacked."""

    __slots__ = ("gid", "mode", "mtime", "uid", "xattrs")

    def __init__(self, mode: int, uid: int, gid: int, mtime: int | None, xattrs: dict[bytes, bytes]) -> None:
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.mtime = mtime
        self.xattrs = xattrs


class Unpacker:
    """One archive on its way into the tree at `root`. Use as a context manager.

    `fresh`: the tree is ours alone and empty, so no directory in it passes on a group or an ACL. `contents`, when given,
    is filled with what tells a regular file's content: its real path → its sha256, or of a large one its place in the
    archive's stream (for nobody needs to hash it twice). `durable`: somebody will sync the tree, so the disk begins early.
    `recorder` hears whose content comes next, and takes what would be removed.
    """

    def __init__(
        self,
        archive: Archive,
        root: str | os.PathLike[str],
        *,
        owner: tuple[int, int] | None = None,
        fresh: bool = False,
        contents: dict[bytes, Content] | None = None,
        durable: bool = False,
        recorder: Recorder | None = None,
    ) -> None:
        self.tree = Tree(root, self._implied)
        self._finals: dict[bytes, _Final] = {}
        self._archive = archive
        self._owner = owner
        self._fresh = fresh
        self._contents = contents
        self._durable = durable
        self._recorder = recorder
        self._natural: tuple[int, int] | None = None
        self._special = ~0o777 | umask() if fresh else ~0
        self._mtime: int | None = None

    def __enter__(self) -> Unpacker:
        return self

    def __exit__(self, *_: object) -> None:
        self.tree.close()

    def run(self) -> None:
        """Unpack all entries. Raises LamellaError naming the entry; what has been unpacked stays."""
        for entry in self._archive:
            try:
                self._place(entry)
            except (OSError, InvalidInput, Integrity) as error:
                raise _named(entry, error) from error
        for real, final in self._finals.items():
            try:
                self._finish(real, final)
            except OSError as error:
                raise _named(Entry(real, reader.DIRECTORY, 0, 0, 0, 0, 0), error) from error

    def root(self, entry: Entry) -> None:
        """The entry names the destination itself, which keeps what it has."""
        if entry.kind != reader.DIRECTORY:
            raise InvalidInput("an entry that is no directory takes the root's place")

    def child(self, entry: Entry, parent: bytes, base: bytes) -> None:
        """The entry is `base` in the directory `parent`."""
        if WHITEOUT in entry.name and any(part.startswith(WHITEOUT) for part in (*parts(parent), base)):
            raise InvalidInput("names that begin with .wh. mark deletions in layers and cannot be files")
        self.put(entry, self.tree.directory(parent), base)

    def put(self, entry: Entry, place: Place, base: bytes) -> None:
        """Create the entry, whatever bore its name before."""
        kind = entry.kind
        if kind == reader.FILE:
            self._file(entry, place, base)
        elif kind == reader.DIRECTORY:
            self._directory(entry, place, base)
        elif kind == reader.SYMLINK:
            self._symlink(entry, place, base)
        elif kind == reader.HARDLINK:
            self._hardlink(entry, place, base)
        else:
            self._device(entry, place, base)

    def _place(self, entry: Entry) -> None:
        name = entry.name.rstrip(b"/")
        parent, _, base = name.rpartition(b"/")
        self._mtime = entry.mtime
        if self._owner is not None:
            entry.uid, entry.gid = self._owner
        if base in (b"", b".", b".."):
            names = parts(name)
            if not names:
                self.root(entry)
                return
            parent, base = b"/".join(names[:-1]), names[-1]
        self.child(entry, parent, base)

    def _implied(self, fd: int, real: bytes) -> None:
        """A directory that the archive does not hold, made for a name below it."""
        self._archive.count()
        uid, gid = self._owner or (0, 0)
        self._finals[real] = _Final(0o755, uid, gid, self._mtime, {})

    def _room(self, place: Place, base: bytes) -> tuple[int, bool]:
        """Take away what is in the way: (the place's descriptor, whether a whiteout was removed)."""
        if self._recorder is None:
            status = self.tree.remove(place[0], base)
        else:
            status = os.stat(base, dir_fd=place[0], follow_symlinks=False)
            self._recorder.set_aside(place[0], base, join(place[1], base))
        if stat.S_ISDIR(status.st_mode) or stat.S_ISLNK(status.st_mode):
            self.tree.forget()
        return self.tree.real(place[1]), stat.S_ISCHR(status.st_mode) and status.st_rdev == 0

    def _file(self, entry: Entry, place: Place, base: bytes) -> None:
        mode = entry.mode & 0o777
        try:
            fd = os.open(base, _CREATE, mode, dir_fd=place[0])
        except FileExistsError:
            fd = os.open(base, _CREATE, mode, dir_fd=self._room(place, base)[0])
        try:
            if self._natural is None and self._fresh:
                status = os.fstat(fd)
                self._natural = (status.st_uid, status.st_gid)
            if self._recorder is not None and entry.size and entry.extents is None:
                self._recorder.file(join(place[1], base), entry.size)
            content = self._content(fd, entry)
            if self._contents is not None:
                if content is None:
                    self._contents.pop(join(place[1], base), None)
                else:
                    self._contents[join(place[1], base)] = content
            self._attributes(fd, entry.mode, entry.uid, entry.gid, entry.xattrs)
            os.utime(fd, ns=(entry.mtime, entry.mtime))
        finally:
            os.close(fd)

    def _content(self, fd: int, entry: Entry) -> Content | None:
        if entry.extents is not None:
            self._sparse(fd, entry)
            return None
        begin = self._archive.offset
        data = self._archive.small()
        if data is None:
            writeback = Writeback(fd) if self._durable else None
            for piece in self._archive.pieces():
                _write(fd, piece)
                if writeback is not None:
                    writeback.wrote(len(piece))
        elif data:
            _write(fd, data)
        if data is None or len(data) >= _PLACED:
            return begin
        return sha256(data).digest() if self._contents is not None else None

    def _sparse(self, fd: int, entry: Entry) -> None:
        os.ftruncate(fd, entry.real)
        for offset, length in entry.extents or ():
            os.lseek(fd, offset, os.SEEK_SET)
            for piece in self._archive.exactly(length):
                _write(fd, piece)

    def _attributes(self, fd: int, mode: int, uid: int, gid: int, xattrs: dict[bytes, bytes]) -> None:
        """Owner first: changing it clears set-user-id bits and capabilities."""
        if (uid, gid) != self._natural:
            os.chown(fd, uid, gid)
        if mode & self._special:
            os.chmod(fd, mode)
        for name, value in xattrs.items():
            if carried(os.fsdecode(name)):
                try:
                    os.setxattr(fd, name, value)
                except OSError as error:
                    if error.errno != errno.ENOTSUP:
                        raise

    def _directory(self, entry: Entry, place: Place, base: bytes) -> None:
        fd, real = place
        try:
            os.mkdir(base, 0o700, dir_fd=fd)
        except FileExistsError:
            if not stat.S_ISDIR(os.stat(base, dir_fd=fd, follow_symlinks=False).st_mode):
                fd, hidden = self._room(place, base)
                os.mkdir(base, 0o700, dir_fd=fd)
                if hidden and self._fresh:
                    self.opaque(fd, base)
        self.final(join(real, base), entry)

    def final(self, real: bytes, entry: Entry) -> None:
        """Remember what the directory at a real path gets at the end."""
        self._finals[real] = _Final(entry.mode, entry.uid, entry.gid, entry.mtime, entry.xattrs)

    def opaque(self, fd: int, base: bytes) -> None:
        """Let the directory `base` hide what lower layers have in its place."""
        inner = os.open(base, DIRECTORY, dir_fd=fd)
        try:
            make_opaque(inner)
        finally:
            os.close(inner)

    def _finish(self, real: bytes, final: _Final) -> None:
        try:
            fd = self.tree.real(real)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):  # something else took its place
                return
            raise
        if (final.uid, final.gid) != self._natural:
            os.chown(fd, final.uid, final.gid)
        os.chmod(fd, final.mode)
        self._attributes(fd, 0, final.uid, final.gid, final.xattrs)
        if final.mtime is not None:
            os.utime(fd, ns=(final.mtime, final.mtime))

    def _symlink(self, entry: Entry, place: Place, base: bytes) -> None:
        fd = place[0]
        if not entry.link:
            raise InvalidInput("a symbolic link to nothing")
        try:
            os.symlink(entry.link, base, dir_fd=fd)
        except FileExistsError:
            fd = self._room(place, base)[0]
            os.symlink(entry.link, base, dir_fd=fd)
        if (entry.uid, entry.gid) != self._natural:
            os.chown(base, entry.uid, entry.gid, dir_fd=fd, follow_symlinks=False)
        os.utime(base, ns=(entry.mtime, entry.mtime), dir_fd=fd, follow_symlinks=False)

    def _hardlink(self, entry: Entry, place: Place, base: bytes) -> None:
        names = parts(entry.link)
        if not names:
            raise InvalidInput("a hard link to the root")
        parent, target = self.tree.directory(b"/".join(names[:-1])), names[-1]
        source = os.dup(parent[0])
        try:
            if (parent[1], target) == (place[1], base):
                os.stat(target, dir_fd=source, follow_symlinks=False)
                return
            self._link(source, target, place, base)
        except (FileNotFoundError, PermissionError) as error:
            why = "does not exist" if isinstance(error, FileNotFoundError) else "is no file"
            raise InvalidInput(f"the target of this hard link {why}: {shown(entry.link)!r}") from None
        finally:
            os.close(source)
        if self._contents is not None:
            self._contents.pop(join(place[1], base), None)
            first = join(parent[1], target)
            if isinstance(self._contents.get(first), int):  # a name may be replaced, its place would no longer tell
                del self._contents[first]

    def _link(self, source: int, target: bytes, place: Place, base: bytes) -> None:
        if stat.S_ISDIR(os.stat(target, dir_fd=source, follow_symlinks=False).st_mode):
            raise PermissionError
        fd = self.tree.real(place[1])
        try:
            os.link(target, base, src_dir_fd=source, dst_dir_fd=fd, follow_symlinks=False)
        except FileExistsError:
            os.link(target, base, src_dir_fd=source, dst_dir_fd=self._room(place, base)[0], follow_symlinks=False)

    def _device(self, entry: Entry, place: Place, base: bytes) -> None:
        mode, device = _FORMS[entry.kind] | entry.mode, os.makedev(*entry.device)
        fd = place[0]
        try:
            os.mknod(base, mode, device, dir_fd=fd)
        except FileExistsError:
            fd = self._room(place, base)[0]
            os.mknod(base, mode, device, dir_fd=fd)
        if (entry.uid, entry.gid) != self._natural:
            os.chown(base, entry.uid, entry.gid, dir_fd=fd, follow_symlinks=False)
        os.chmod(base, entry.mode, dir_fd=fd)  # just made, so no link
        os.utime(base, ns=(entry.mtime, entry.mtime), dir_fd=fd, follow_symlinks=False)


def _write(fd: int, data: bytes | memoryview) -> None:
    written = os.write(fd, data)
    while written < len(data):
        written += os.write(fd, memoryview(data)[written:])


def _named(entry: Entry, error: OSError | LamellaError) -> LamellaError:
    """`error` as one that names the entry and says whose fault it is."""
    if isinstance(error, LamellaError):
        if isinstance(error, (BadHeader, Truncated, TooMuch)):  # they say where
            return error
        return type(error)(f"cannot unpack {shown(entry.name)!r}: {error.message}", error.hint)
    message = f"cannot unpack {shown(entry.name)!r}: {(error.strerror or str(error)).lower()}"
    if error.errno in _DISK:
        return Unavailable(message)
    if error.errno in (errno.EPERM, errno.EACCES):
        return Unsupported(message, "unpacking owners, devices and attributes needs root or a user namespace")
    return InvalidInput(message)
