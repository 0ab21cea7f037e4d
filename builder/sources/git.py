"""Commits of git repositories, by the git program, which is told to believe neither the repository nor this machine.

No hook, filter, credential helper or configuration of the machine runs or counts; only http(s), git and ssh are spoken,
by submodules too; nobody is asked for a password. What git is given besides a repository's address is a commit's ID or
a ref that cannot be taken for an option. Credentials reach it in the environment, never on a command line.
"""

from __future__ import annotations

import os
import re
import shutil
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from builder.sources.address import GitAddress, is_commit, shown
from builder.sources.tree import NoDirectory, deliver, set_times
from builder.sources.web import Outside
from core.errors import Integrity, InvalidInput, NotFound, Unavailable, Unsupported
from core.process import ProgramFailed, find_program, run
from store.temporary import Temporaries

SECONDS = 3600.0  # for one run of git: a server that is silent for ever must not stop a build for ever
STALLED_SECONDS = 90
_ENVIRON = {
    "LC_ALL": "C", "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_SYSTEM": "/dev/null", "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_ATTR_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "true", "SSH_ASKPASS_REQUIRE": "never",
    "GIT_SSH_COMMAND": "ssh -o BatchMode=yes", "GIT_ALLOW_PROTOCOL": "http:https:git:ssh",
    "GIT_NO_REPLACE_OBJECTS": "1",
}  # fmt: skip
_CONFIG = {
    "core.hooksPath": "/dev/null", "core.fsmonitor": "false", "core.attributesFile": "/dev/null",
    "core.excludesFile": "/dev/null", "core.logAllRefUpdates": "false", "core.autocrlf": "false", "core.symlinks": "true",
    "core.protectNTFS": "true", "core.protectHFS": "true", "credential.helper": "", "init.defaultBranch": "main",
    "gc.auto": "0", "maintenance.auto": "false", "advice.detachedHead": "false", "protocol.version": "2",
    "http.lowSpeedLimit": "1", "http.lowSpeedTime": str(STALLED_SECONDS),
}  # fmt: skip


class GitFailed(Unavailable):
    """What git said, in one line."""

    def __init__(self, address: GitAddress, said: str) -> None:
        hint = "check the address and the network; for a private one give --secret id=GIT_AUTH_TOKEN or an ssh key"
        super().__init__(f"git cannot read {shown(address.remote)}: {_reason(said)}", hint)


class Git:
    """Repositories elsewhere. May be used by several threads."""

    def __init__(self, outside: Outside, temporaries: Temporaries) -> None:
        self._outside = outside
        self._temporaries = temporaries

    def resolve(self, address: GitAddress) -> str:
        """The ID of the commit that `address` means now; the server is asked unless the address says it itself.

        Raises NotFound for an unknown ref, Integrity where it is not the commit that it should be, Unavailable, and
        Unsupported where there is no git.
        """
        if is_commit(address.ref):
            return address.ref
        if address.by_commit:
            return address.commit
        ref = address.ref or "HEAD"
        listed = self._run(address, ["ls-remote", "--", _bare(address.remote)[0], ref, f"{ref}^{{}}"])
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
        `subdir`) its .git too. Raises as `resolve`, NotFound also for a missing `subdir`."""
        fd, work = self._temporaries.directory()
        try:
            self._fetch(address, commit, work)
            self._run(address, ["checkout", "--quiet", "--detach", commit], work)
            if address.submodules and os.path.lexists(work / ".gitmodules"):
                self._run(address, ["submodule", "--quiet", "update", "--init", "--recursive", "--depth=1"], work)
            if address.commit_times:
                set_times(work, int(self._run(address, ["show", "-s", "--format=%ct", commit], work)))
            deliver(work, target, subdir=address.subdir, keep_git=bool(address.keep_git) and not address.subdir)
        except NoDirectory as error:
            what = f"{shown(address.remote)} has no directory {address.subdir}"
            raise NotFound(what, "check the part of the address that names it") from error
        finally:
            shutil.rmtree(work, ignore_errors=True)
            os.close(fd)

    def _fetch(self, address: GitAddress, commit: str, work: Path) -> None:
        """That one commit alone, where the server gives single ones; else the tip of the ref, else all there is."""
        kind = "sha256" if len(commit) == 64 else "sha1"
        self._run(address, ["init", "--quiet", "--template=", f"--object-format={kind}"], work)
        self._run(address, ["config", "remote.origin.url", _bare(address.remote)[0]], work)
        tip = [] if is_commit(address.ref) else [["--depth=1", "origin", address.ref or "HEAD"]]
        everything = ["origin", "+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"]
        for wanted in (["--depth=1", "origin", commit], *tip):
            if self._fetched(address, wanted, commit, work):
                return
        if not self._fetched(address, everything, commit, work, last=True):
            hint = "check the ID, or name a branch or tag that has it"
            raise NotFound(f"{shown(address.remote)} does not give the commit {commit}", hint)

    def _fetched(
        self, address: GitAddress, wanted: Sequence[str], commit: str, work: Path, *, last: bool = False
    ) -> bool:
        """Whether the commit is here after a fetch; a failure of the `last` one is raised."""
        try:
            self._run(address, ["fetch", "--quiet", "--no-tags", "--no-recurse-submodules", *wanted], work)
        except GitFailed:
            if last:
                raise
            return False
        try:
            self._run(address, ["cat-file", "-e", f"{commit}^{{commit}}"], work)
        except GitFailed:
            return False
        return True

    def _run(self, address: GitAddress, words: Sequence[str], work: Path | None = None) -> bytes:
        program = find_program("git")
        if program is None:
            raise Unsupported(
                f"git, which is needed for {shown(address.remote)}, is not installed", "install the package git"
            )
        where = ["-C", os.fspath(work)] if work else []
        try:
            return run([program, *where, *words], env=self._environ(address), timeout=SECONDS, umask=0o022)
        except ProgramFailed as error:
            raise GitFailed(address, error.said) from error

    def _environ(self, address: GitAddress) -> dict[str, str]:
        config = dict(_CONFIG)
        if header := self._authorised(address.remote):
            parts = urlsplit(address.remote)
            config[f"http.{parts.scheme}://{parts.netloc.rpartition('@')[2]}/.extraHeader"] = f"Authorization: {header}"
        numbered = [pair for n, (key, value) in enumerate(config.items()) for pair in (
            (f"GIT_CONFIG_KEY_{n}", key), (f"GIT_CONFIG_VALUE_{n}", value))]  # fmt: skip
        return {**self._outside.variables, **_ENVIRON, "GIT_CONFIG_COUNT": str(len(config)), **dict(numbered)}

    def _authorised(self, remote: str) -> str:
        """The Authorization header for http(s): from the address, else from a build secret, that of the host first."""
        if not remote.startswith(("http://", "https://")):
            return ""
        if own := _bare(remote)[1]:
            return own
        host = urlsplit(remote).netloc
        for name in (f"GIT_AUTH_HEADER.{host}", f"GIT_AUTH_TOKEN.{host}", "GIT_AUTH_HEADER", "GIT_AUTH_TOKEN"):
            if secret := self._outside.secret(name):
                text = secret.decode("latin-1").strip()
                if not text.isprintable():
                    raise InvalidInput(
                        f"the secret {name} is no header: it has control characters", "it must be one line"
                    )
                return _basic(f"x-access-token:{text}") if "TOKEN" in name else text
        return ""


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


def _bare(remote: str) -> tuple[str, str]:
    """The address without the credentials in it (ssh's user is none), and the header that they mean."""
    if not remote.startswith(("http://", "https://")) or "@" not in remote:
        return remote, ""
    parts = urlsplit(remote)
    user, _, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=host)), _basic(unquote(user if ":" in user else f"{user}:"))


def _basic(user: str) -> str:
    return f"Basic {b64encode(user.encode()).decode()}"


def _reason(said: str) -> str:
    """The line of git's that says most, and the next one where it ends with a colon."""
    lines = ["".join(c if c.isprintable() else " " for c in line).strip() for line in said.splitlines()]
    first = next((n for n, line in enumerate(lines) if re.match(r"(fatal|error|remote|ssh):", line)), 0)
    text = " ".join(lines[first : first + (2 if lines[first : first + 1] and lines[first].endswith(":") else 1)])
    return shown(re.sub(r"^(fatal|error): ", "", text))[:300] or "it said nothing"
