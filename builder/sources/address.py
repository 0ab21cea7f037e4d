"""Addresses of what is not on this machine: http(s) files and git repositories. Text in, values out; nothing is asked.

Git's forms: `git://`, `ssh://`, `user@host:path` and `http(s)://….git`, each with `#ref[:subdir]` or a query after it
(reference: "docker build", "Git repositories"); for a build context also `github.com/…`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit, urlunsplit

from builder.ops.add import is_remote
from core.errors import InvalidInput
from core.value import Value, replace

_SCP = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*@[A-Za-z0-9][A-Za-z0-9.-]*:")
_HEX = re.compile(r"[0-9a-f]{4,64}")
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]*@")
_TRUTH = {"": True, "1": True, "t": True, "true": True, "0": False, "f": False, "false": False}
UNNAMED = "__unnamed__"


class HttpAddress(Value):
    """A file on a web server; credentials may stand in the URL."""

    url: str

    @property
    def name(self) -> str:
        """What the file is called where the destination is a directory: the end of the path."""
        base = unquote(urlsplit(self.url).path).rstrip("/").rpartition("/")[2]
        return UNNAMED if base in ("", ".", "..") else base


class GitAddress(Value):
    """A commit of a repository, and what of it is wanted.

    `remote` is what git is given; `ref` a branch, a tag or a whole commit ID, empty for the default branch; `subdir` a
    directory in it, empty for all. `commit` is what the commit's ID must begin with, empty for anything; with
    `by_commit` it is whole and believed without asking where `ref` is. `keep_git` is None where the address does not
    say; `commit_times` gives the files the time of the commit.
    """

    remote: str
    ref: str = ""
    subdir: str = ""
    commit: str = ""
    keep_git: bool | None = None
    submodules: bool = True
    commit_times: bool = False
    by_commit: bool = False


Address = HttpAddress | GitAddress


def shown(text: str) -> str:
    """`text` with the credentials of the URLs in it made unreadable."""
    return _CREDENTIALS.sub("xxxxx@", text)


def parse_address(text: str, *, context: bool = False) -> Address | None:
    """The address that `text` is, None where it is none; `context` allows `github.com/…`. Raises InvalidInput."""
    if context and text.startswith("github.com/"):
        return _git(f"https://{text}")
    if not is_remote(text):
        return None
    if any(not c.isprintable() or c == " " for c in text):
        raise InvalidInput(f"invalid address: {shown(text)!r}", "write blanks and control characters as %20, %0A …")
    if _SCP.match(text):
        return _git(text)
    parts = _split(text)
    if parts.scheme == "ftp":
        raise InvalidInput(f"cannot fetch {shown(text)}: there is no ftp here", "use an http, https or git address")
    if parts.scheme in ("http", "https") and not parts.path.endswith(".git"):
        return HttpAddress(text.partition("#")[0])
    return _git(text)


def is_commit(ref: str) -> bool:
    """Whether `ref` is a whole commit ID (SHA-1 or SHA-256)."""
    return len(ref) in (40, 64) and bool(_HEX.fullmatch(ref))


def with_commit(address: GitAddress, checksum: str) -> GitAddress:
    """`address` with the --checksum of an ADD. Raises InvalidInput for nonsense, and where the two contradict."""
    if not _HEX.fullmatch(checksum.lower()):
        raise InvalidInput(f"invalid --checksum {checksum!r} for a git repository", "give the start of the commit's ID")
    if address.commit and address.commit != checksum.lower():
        raise InvalidInput(f"--checksum={checksum} and the address's {address.commit} are two commits", "leave one out")
    return replace(address, commit=checksum.lower())


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        host = parts.hostname
        _ = parts.port
    except ValueError as error:
        raise InvalidInput(f"invalid address {shown(text)}: {error}") from None
    if not host or host.startswith("-"):
        raise InvalidInput(f"invalid address {shown(text)}: it names no host")
    return parts


def _git(text: str) -> GitAddress:
    rest, hash_, fragment = text.partition("#")
    query = ""
    if _SCP.match(rest):
        remote, _, query = rest.partition("?")
        if remote.partition(":")[2].startswith("-"):
            raise InvalidInput(f"invalid address {text}: its path begins with a -")
    else:
        parts = _split(rest)
        remote, query = urlunsplit(parts._replace(query="")), parts.query
    ref, _, subdir = fragment.partition(":") if hash_ else ("", "", "")
    return _checked(_with_query(GitAddress(remote, ref, subdir), query), text)


def _with_query(address: GitAddress, query: str) -> GitAddress:
    given: dict[str, str] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key in given:
            raise InvalidInput(f"the address has several {key}")
        given[key] = value
    for key, value in given.items():
        if key not in _KEYS:
            raise InvalidInput(
                f"unknown key {key!r} in the address of a git repository", f"known are {', '.join(_KEYS)}"
            )
        if not value and key not in _SWITCHES:
            raise InvalidInput(f"the key {key!r} in the address of a git repository has no value")
        address = _KEYS[key](address, value)
    return address


def _ref(address: GitAddress, ref: str) -> GitAddress:
    if address.ref and address.ref != ref:
        raise InvalidInput(f"the address names two commits: {address.ref!r} and {ref!r}", "leave one out")
    return replace(address, ref=ref)


def _qualified(kind: str) -> Callable[[GitAddress, str], GitAddress]:
    return lambda address, name: _ref(address, f"refs/{kind}/{name.removeprefix(f'refs/{kind}/')}")


def _subdir(address: GitAddress, subdir: str) -> GitAddress:
    if address.subdir and address.subdir != subdir:
        raise InvalidInput(f"the address names two directories: {address.subdir!r} and {subdir!r}", "leave one out")
    return replace(address, subdir=subdir)


def _times(address: GitAddress, value: str) -> GitAddress:
    if value not in ("checkout", "commit"):
        raise InvalidInput(f"mtime={value} in the address of a git repository", "write mtime=checkout or mtime=commit")
    return replace(address, commit_times=value == "commit")


def _switch(field: str) -> Callable[[GitAddress, str], GitAddress]:
    def set_(address: GitAddress, value: str) -> GitAddress:
        if value.lower() not in _TRUTH:
            raise InvalidInput(
                f"{field.replace('_', '-')}={value} in the address of a git repository", "write true or false"
            )
        return replace(address, **{field: _TRUTH[value.lower()]})

    return set_


_SWITCHES = ("keep-git-dir", "submodules", "fetch-by-commit")
_KEYS: dict[str, Callable[[GitAddress, str], GitAddress]] = {
    "ref": _ref, "tag": _qualified("tags"), "branch": _qualified("heads"), "subdir": _subdir, "commit": with_commit,
    "checksum": with_commit, "keep-git-dir": _switch("keep_git"), "submodules": _switch("submodules"), "mtime": _times,
    "fetch-by-commit": _switch("by_commit"),
}  # fmt: skip


def _checked(address: GitAddress, text: str) -> GitAddress:
    # Git has no `--` before every ref, so that one like this could be taken for an option.
    if address.ref.startswith("-") or re.search(r"[\s:?*\[\\^~\x00-\x1f\x7f]|\.\.|@\{", address.ref):
        raise InvalidInput(
            f"invalid git reference {address.ref!r} in {shown(text)}", "name a branch, a tag or a commit"
        )
    if address.by_commit and not is_commit(address.commit or address.ref):
        raise InvalidInput("fetch-by-commit needs a whole commit ID", "add commit=ID to the address")
    if is_commit(address.ref) and not address.ref.startswith(address.commit):
        raise InvalidInput(f"{address.ref} is not the commit {address.commit}", "correct one of them, or leave one out")
    return replace(address, subdir="/".join(part for part in address.subdir.split("/") if part not in ("", ".")))
