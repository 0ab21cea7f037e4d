"""What is fetched from elsewhere, as the one step of a stage of its own: so it is cached, keyed, leased and pruned as
every other layer is, and copied from as every other stage."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from builder.dockerfile.instructions import Instruction
from builder.ops.archive import unpack
from builder.sources.address import Address, GitAddress, HttpAddress, shown
from builder.stages import Ground, Origin, Output, Stage, Step, Workspace
from builder.state import start_from_scratch
from core.errors import Integrity, InvalidInput, Unavailable
from core.value import Value
from image.digest import Digest

PLAIN = "context"  # what a file is called that was to be a context, and is no archive


class HttpOp(Value):
    """One file, 0600 and of its version's time, called as the URL's path ends; with `unpack`, the files in the archive that
    it is. `checksum` is the digest that it must have, empty for any: with it nobody asks whether there is a newer one."""

    address: HttpAddress
    checksum: str = ""
    unpack: bool = False

    def facts(self) -> list[Any]:
        return ["http", self._name]

    @property
    def _name(self) -> str:
        return PLAIN if self.unpack else self.address.name

    def inputs(self, work: Workspace) -> str:
        if self.checksum:
            return self.checksum
        version = work.remote.http.resolve(self.address)
        return f"{version.digest} {version.modified}"

    def origins(self) -> tuple[Origin, ...]:
        return ()

    def perform(self, work: Workspace, ground: Ground, output: Output) -> None:
        http = work.remote.http
        version = None if self.checksum else http.resolve(self.address)
        with http.fetch(self.address, Digest(self.checksum) if self.checksum else None) as spooled:
            if version and spooled.version != version:
                raise Unavailable(f"{shown(self.address.url)} changed while it was fetched", "build again")
            if self.unpack:
                with ground.mounted() as root:
                    if self._unpacked(spooled.path, root):
                        return
            with _placing(ground) as directory:
                spooled.place(directory / self._name, 0o600)

    def _unpacked(self, path: Path, root: Path) -> bool:
        try:
            return unpack(path, root, "/", (0, 0))
        except (InvalidInput, Integrity) as error:
            what = f"the archive at {shown(self.address.url)} cannot be unpacked: {error.message}"
            raise InvalidInput(what, error.hint) from error


class GitOp(Value):
    """The files of one commit."""

    address: GitAddress

    def facts(self) -> list[Any]:
        address = self.address
        git = bool(address.keep_git) and not address.subdir
        return ["git", address.subdir, git and address.remote, address.submodules, address.commit_times]

    def inputs(self, work: Workspace) -> str:
        return work.remote.commit(self.address)

    def origins(self) -> tuple[Origin, ...]:
        return ()

    def perform(self, work: Workspace, ground: Ground, output: Output) -> None:
        with _placing(ground) as directory:
            work.remote.git.checkout(self.address, work.remote.commit(self.address), directory)


@contextlib.contextmanager
def _placing(ground: Ground) -> Iterator[Path]:
    """An empty directory whose contents become the layer."""
    if upper := ground.upper():
        yield upper
        return
    with ground.mounted() as root:
        yield root


def fetched(address: Address, asking: Instruction, *, checksum: str = "", context: bool = False) -> Stage:
    """A stage with what is at `address` in it, and nothing else; with `context`, archives unpacked."""
    if isinstance(address, HttpAddress):
        op: HttpOp | GitOp = HttpOp(address, checksum, context)
        where = address.url
    else:
        op, where = GitOp(address), f"{address.remote}{'#' * bool(address.ref)}{address.ref}"
    step = Step(op, f"[internal] load {shown(where)}", asking)
    return Stage(-1, "", None, (step,), start_from_scratch(), asking, "")
