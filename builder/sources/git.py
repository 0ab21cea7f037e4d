"""Commits of git repositories: which one an address means, and its files.

What git is given besides a repository's address is a commit's ID or a ref that cannot be taken for an option. The files
come out of the repositories that are kept (`objects`); submodules are walked here, for git's own way of it knows no end.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from builder.sources.address import GitAddress, is_commit, shown
from builder.sources.objects import Objects, kind_of
from builder.sources.program import MAX_FILES, GitFailed, GitProgram, TooMuch, bare
from builder.sources.tree import NoDirectory, deliver, set_times
from builder.sources.web import Outside
from core.errors import Integrity, InvalidInput, NotFound
from core.paths import resolve_in
from core.removal import remove
from core.value import Value
from store.caches import Caches
from store.temporary import Temporaries

MAX_DEPTH = 16  # of submodules in submodules
_GITLINK = b"160000 commit "
_ADDRESS = re.compile(r"(https?|git|ssh)://[^-/].*|(\w[\w.-]*@)?[A-Za-z0-9][A-Za-z0-9.-]*:(?!//|:|-).+")


class Submodule(Value):
    """The commit of another repository at a path of this one."""

    address: GitAddress
    path: str
    commit: str


class Git:
    """Repositories elsewhere. May be used by several threads. `waiting` takes its time while another build fetches the same,
    `check` is called while git runs; both may raise."""

    def __init__(
        self, outside: Outside, temporaries: Temporaries, caches: Caches, waiting: Callable[[], None],
        check: Callable[[], None], *, files: int = MAX_FILES, depth: int = MAX_DEPTH,
    ) -> None:  # fmt: skip
        self._temporaries = temporaries
        self._program = GitProgram(outside, temporaries, check, files)
        self._objects = Objects(self._program, caches, waiting)
        self._depth = depth

    def resolve(self, address: GitAddress) -> str:
        """The ID of the commit that `address` means now; the server is asked unless the address says it itself.

        Raises NotFound for an unknown ref, Integrity where it is not the commit that it should be, Unavailable, and
        Unsupported where there is no git.
        """
        if is_commit(address.ref):
            return address.ref
        if is_commit(address.commit):
            return address.commit
        ref = address.ref or "HEAD"
        listed = self._program.run(address, ["ls-remote", "--", bare(address.remote)[0], ref, f"{ref}^{{}}"])
        lines = (line.partition("\t") for line in listed.decode(errors="replace").splitlines())
        there = {name: id for id, _, name in lines}
        for name in _meanings(ref):
            if is_commit(found := there.get(name, "")):
                commit = there.get(f"{name}^{{}}", found)
                _check(address, commit, found)
                return commit
        what = f"no branch or tag {address.ref!r}" if address.ref else "no commit"
        raise NotFound(f"{shown(address.remote)} has {what}", "check the name, or give the whole ID of a commit")

    def checkout(self, address: GitAddress, commit: str, target: Path) -> None:
        """Put the files of `commit` into the empty directory `target`, all root's and 0644 or 0755; with `keep_git` (and no
        `subdir`) its .git too. Raises as `resolve`, NotFound also for a missing `subdir`, InvalidInput for too much."""
        fd, work = self._temporaries.directory()
        keep_git = bool(address.keep_git) and not address.subdir
        try:
            self._place(address, commit, work, keep_git=keep_git)
            if address.commit_times:
                set_times(work, self._time(address, commit))
            deliver(work, target, subdir=address.subdir, keep_git=keep_git)
        except NoDirectory as error:
            what = f"{shown(address.remote)} has no directory {address.subdir}"
            raise NotFound(what, "check the part of the address that names it") from error
        finally:
            remove(work)
            os.close(fd)

    def _time(self, address: GitAddress, commit: str) -> int:
        """When it was committed, in seconds since 1970."""
        words = ["show", "-s", "--format=%ct", f"{commit}^{{commit}}"]
        return self._objects.at(address, commit, address, lambda kept: int(self._program.run(address, words, kept)))

    def _place(
        self,
        address: GitAddress,
        commit: str,
        work: Path,
        *,
        keep_git: bool,
        top: GitAddress | None = None,
        depth: int = 0,
    ) -> None:
        """`work` becomes a working tree with its submodules; `top` is the repository that has named this one. Only one
        repository is held at a time, or two builds might wait for each other."""
        use = partial(self._taken_out, address, commit, work, keep_git)
        submodules = self._objects.at(address, commit, top or address, use)
        for one in submodules:
            if depth == self._depth:
                raise TooMuch(address, f"submodules more than {self._depth} levels deep")
            place = Path(resolve_in(work, one.path))
            if not place.is_dir() or os.listdir(place):
                raise InvalidInput(f"{shown(address.remote)} has a submodule where something else is: {one.path}")
            self._place(one.address, one.commit, place, keep_git=keep_git, top=top or address, depth=depth + 1)
        if submodules and keep_git:
            self._program.run(address, ["submodule", "--quiet", "init"], work)
            self._program.run(address, ["submodule", "absorbgitdirs"], work)

    def _taken_out(
        self, address: GitAddress, commit: str, work: Path, keep_git: bool, repository: Path
    ) -> list[Submodule]:
        """Check the commit out of the kept `repository`, whose objects are borrowed; its submodules."""
        for name in os.listdir(work):  # half of an earlier try
            remove(work / name)
        self._program.run(address, ["init", "--quiet", "--template=", f"--object-format={kind_of(commit)}"], work)
        self._program.run(address, ["config", "remote.origin.url", bare(address.remote)[0]], work)
        borrowed = work / ".git/objects/info/alternates"
        borrowed.parent.mkdir(exist_ok=True)
        borrowed.write_text(f"{repository / 'objects'}\n")
        commit = self._program.run(address, ["rev-parse", f"{commit}^{{commit}}"], work).decode().strip()
        (work / ".git/shallow").write_text(f"{commit}\n")
        self._program.refuse_many_files(address, commit, work)
        self._program.run(address, ["checkout", "--quiet", "--detach", commit], work, watched=work)
        if keep_git:
            self._program.run(address, ["repack", "-a", "-d", "--quiet"], work, watched=work)
            borrowed.unlink()
        return list(self._submodules(address, commit, work)) if address.submodules else []

    def _submodules(self, address: GitAddress, commit: str, work: Path) -> Iterator[Submodule]:
        if not os.path.lexists(work / ".gitmodules"):
            return
        words = ["config", "-z", "--blob", f"{commit}:.gitmodules", "--get-regexp", r"^submodule\..*\.(path|url)$"]
        try:
            listed = self._program.run(address, words, work)
        except GitFailed:  # there is nothing in it
            return
        named: dict[str, dict[str, str]] = {}
        for entry in listed.decode("utf-8", "surrogateescape").split("\0")[:-1]:
            key, _, value = entry.partition("\n")
            name, _, field = key.partition(".")[2].rpartition(".")
            named.setdefault(name, {})[field] = value
        for one in named.values():
            if (path := one.get("path")) and (linked := self._linked(address, commit, path, work)):
                yield Submodule(_submodule_address(address, path, one.get("url", "")), path, linked)

    def _linked(self, address: GitAddress, commit: str, path: str, work: Path) -> str:
        """The commit that stands at `path`; empty where something else does."""
        words = ["--literal-pathspecs", "ls-tree", "-z", commit, "--", path]
        found = self._program.run(address, words, work)
        return found[len(_GITLINK) :].split(b"\t")[0].decode() if found.startswith(_GITLINK) else ""


def _submodule_address(address: GitAddress, path: str, url: str) -> GitAddress:
    """Where the submodule at `path` is (gitmodules(5), `url`)."""
    remote = _relative(address.remote, url) if url.startswith(("./", "../")) else url
    if not _ADDRESS.fullmatch(remote) or not remote.isprintable():
        what = (
            f"{shown(address.remote)} has a submodule {path} at {shown(url)!r}, which is no http(s), git or ssh address"
        )
        raise InvalidInput(what, "leave its submodules out: add ?submodules=false to the address")
    return GitAddress(remote)


def _relative(remote: str, url: str) -> str:
    """`url` seen from `remote`, as git-submodule(1) has it."""
    remote = remote.rstrip("/")
    while url.startswith(("./", "../")):
        if url.startswith("../"):
            parent, slash, _ = remote.rpartition("/")
            remote = parent if slash else remote.rpartition(":")[0]
        url = url.partition("/")[2]
    return f"{remote}/{url}"


def _meanings(ref: str) -> tuple[str, ...]:
    """The full names that `ref` may stand for; git prefers branches."""
    if ref == "HEAD":
        return (ref,)
    return (f"refs/{ref.removeprefix('refs/')}", f"refs/heads/{ref}", f"refs/tags/{ref}")


def _check(address: GitAddress, commit: str, tag: str) -> None:
    if not commit.startswith(address.commit) and not tag.startswith(address.commit):
        raise Integrity(
            f"{shown(address.remote)}: {address.ref or 'the default branch'} is the commit {commit}, not {address.commit}",
            "where the change is meant, write down the new commit",
        )
