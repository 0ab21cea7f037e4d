"""Commits that were fetched, kept among the store's caches from one build to the next: a repository for each address.

A commit is whole in it when `refs/kept/<its ID>` is there. Who looks at one has its repository's lock shared, who fetches
one has it alone. What somebody who was killed has left behind is removed by the next who fetches. It is a cache: what is
damaged is fetched anew, and `builder prune` takes what no build is using.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar

from builder.sources.address import GitAddress, is_commit, shown
from builder.sources.program import GitFailed, GitProgram, TooMuch, bare
from core.errors import NotFound
from core.removal import remove
from store.caches import GIT, Caches

T = TypeVar("T")
MOST_PACKS = 50  # each fetch adds one, and every look for an object goes through all of them


class Objects:
    """The repositories of one store. May be used by several threads and processes; `waiting` takes its time while somebody
    else fetches from the same address, and may raise."""

    def __init__(self, program: GitProgram, caches: Caches, waiting: Callable[[], None]) -> None:
        self._program = program
        self._caches = caches
        self._waiting = waiting

    def at(self, address: GitAddress, commit: str, top: GitAddress, use: Callable[[Path], T]) -> T:
        """What `use` gives for the directory of a repository with the whole commit, fetched first where it is not here; the
        repository stays as it is meanwhile. Raises what fetching and `use` raise, and NotFound."""
        with self._repository(address, commit, alone=False) as repository:
            damaged = False
            if self._has(address, repository, commit):
                try:
                    return use(repository)
                except GitFailed:
                    damaged = True
        with self._repository(address, commit, alone=True) as repository:
            if damaged or not self._has(address, repository, commit):
                self._renew(address, repository, commit, top, damaged=damaged)
            return use(repository)

    def _repository(self, address: GitAddress, commit: str, *, alone: bool) -> AbstractContextManager[Path]:
        remote = bare(address.remote)[0]
        name = hashlib.sha256(f"git {kind_of(commit)} {remote}".encode()).hexdigest()[:32]

        def fill(new: Path) -> None:
            self._begin(address, new, commit)

        return self._caches.used(name, remote, "locked" if alone else "shared", fill, self._waiting, kind=GIT)

    def _begin(self, address: GitAddress, directory: Path, commit: str) -> None:
        words = ["init", "--quiet", "--bare", "--template=", f"--object-format={kind_of(commit)}"]
        self._program.run(address, words, directory)

    def _has(self, address: GitAddress, repository: Path, commit: str) -> bool:
        try:
            self._program.run(
                address, ["rev-parse", "--quiet", "--verify", f"refs/kept/{commit}^{{commit}}"], repository
            )
        except GitFailed:
            return False
        return True

    def _renew(self, address: GitAddress, repository: Path, commit: str, top: GitAddress, *, damaged: bool) -> None:
        """Fetch into what there is, or into a new one that takes its place where that is of no use."""
        _tidy(repository)
        packs = len(list((repository / "objects/pack").glob("*.pack")))
        if not damaged and packs < MOST_PACKS:
            try:
                self._fetch(address, repository, commit, top)
                return
            except GitFailed:
                if self._is_sound(address, repository):
                    raise
        self._empty(address, repository, commit)
        self._fetch(address, repository, commit, top)

    def _empty(self, address: GitAddress, repository: Path, commit: str) -> None:
        for path in repository.iterdir():
            remove(path)
        self._begin(address, repository, commit)

    def _is_sound(self, address: GitAddress, repository: Path) -> bool:
        try:
            self._program.run(address, ["fsck", "--connectivity-only", "--no-dangling"], repository)
        except GitFailed:
            return False
        return True

    def _fetch(self, address: GitAddress, repository: Path, commit: str, top: GitAddress) -> None:
        """That one commit alone, where the server gives single ones; else the tip of the ref, else all there is."""
        tip = [] if is_commit(address.ref) else [["--depth=1", address.ref or "HEAD"]]
        shallow = ["--unshallow"] if (repository / "shallow").exists() else []
        everything = [*shallow, "+refs/heads/*:refs/all/heads/*", "+refs/tags/*:refs/all/tags/*"]
        for wanted in (["--depth=1", commit], *tip):
            try:
                if self._fetched(address, repository, commit, wanted, top):
                    return
            except GitFailed:
                continue
        if not self._fetched(address, repository, commit, everything, top):
            hint = "check the ID, or name a branch or tag that has it"
            raise NotFound(f"{shown(address.remote)} does not give the commit {commit}", hint)

    def _fetched(
        self, address: GitAddress, repository: Path, commit: str, wanted: Sequence[str], top: GitAddress
    ) -> bool:
        """Whether the commit is here after a fetch, and then kept."""
        options = [word for word in wanted if word.startswith("--")]
        refs = [word for word in wanted if not word.startswith("--")]
        fetch = ["fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head", *options]
        try:
            self._program.run(
                address, [*fetch, "--", bare(address.remote)[0], *refs], repository, top=top, watched=repository
            )
        except TooMuch:
            self._empty(address, repository, commit)
            raise
        try:
            self._program.run(address, ["cat-file", "-e", f"{commit}^{{commit}}"], repository)
        except GitFailed:
            return False
        self._program.run(address, ["update-ref", f"refs/kept/{commit}", commit], repository)
        return True


def kind_of(commit: str) -> str:
    """What git calls the hash that the ID is of."""
    return "sha256" if len(commit) == 64 else "sha1"


def _tidy(repository: Path) -> None:
    """Nobody else is here, so whoever has made these is dead."""
    for pattern in ("*.lock", "refs/**/*.lock", "objects/pack/tmp_*", "objects/??/tmp_*", "objects/tmp_*"):
        for path in repository.glob(pattern):
            remove(path)
