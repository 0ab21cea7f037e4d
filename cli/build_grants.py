"""What `lamella build` lets RUN steps have: secrets, ssh agents, limits, rights. Read here, checked before anything runs."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from core.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from builder.request import Agent
    from runtime.step import Limit

_SECRET_KEYS = {"id": "id", "src": "source", "source": "source", "env": "env", "type": "type"}
_SECRET_FORM = "write it as id=NAME,src=FILE or id=NAME,env=VARIABLE"
_SOCKET = "SSH_AUTH_SOCK"
# setrlimit(2), without those that Linux ignores.
_LIMITS = (
    "core", "cpu", "data", "fsize", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio", "rttime",
    "sigpending", "stack",
)  # fmt: skip
_MOST = 2**63 - 1
_RIGHTS = ("network.host", "security.insecure", "device", "fs", "fs.read", "fs.write", "ssh", "image.load")


def secrets(given: Sequence[str], environ: Mapping[str, str]) -> dict[str, bytes]:
    """The values of `--secret`, by ID. Raises InvalidInput, and NotFound for a file or a variable that is not there."""
    return dict(_secret(text, environ) for text in given)


def _secret(text: str, environ: Mapping[str, str]) -> tuple[str, bytes]:
    fields = _secret_fields(text)
    id, source, name = fields.get("id", ""), fields.get("source", ""), fields.get("env", "")
    kind = fields.get("type") or ("env" if name or (not source and id in environ) else "file")
    if kind not in ("file", "env"):
        raise InvalidInput(f"invalid --secret: there is no type {kind!r}", "the types are file and env")
    if not id:
        raise InvalidInput("invalid --secret: it has no id", _SECRET_FORM)
    value = _from_variable(id, name or source or id, environ) if kind == "env" else _from_file(id, source or id)
    return id, value


def _secret_fields(text: str) -> dict[str, str]:
    """Nothing of `text` is repeated in an error: who forgets the form may have typed the secret itself."""
    import csv

    try:
        items = next(csv.reader([text], strict=True), [])
    except csv.Error:
        raise InvalidInput("invalid --secret: its quotes do not match", _SECRET_FORM) from None
    fields: dict[str, str] = {}
    for item in items:
        key, equals, value = item.partition("=")
        if not equals or key.lower() not in _SECRET_KEYS:
            raise InvalidInput("invalid --secret: its keys are id, src, env and type", _SECRET_FORM)
        fields[_SECRET_KEYS[key.lower()]] = value
    return fields


def _from_variable(id: str, name: str, environ: Mapping[str, str]) -> bytes:
    if name not in environ:
        raise NotFound(
            f"--secret {id}: the environment has no variable {name}", f"set {name}, or name a file with src="
        )
    return _limited(id, os.fsencode(environ[name]))


def _from_file(id: str, path: str) -> bytes:
    from builder.ops.mounts import MAX_SECRET

    try:
        with open(os.path.expanduser(path), "rb") as file:
            return _limited(id, file.read(MAX_SECRET + 1))
    except FileNotFoundError:
        raise NotFound(f"--secret {id}: there is no file {path}", "check the path, or use env=VARIABLE") from None
    except OSError as error:
        raise InvalidInput(
            f"--secret {id}: cannot read {path}: {error.strerror}", "give a file that can be read"
        ) from None


def _limited(id: str, value: bytes) -> bytes:
    from builder.ops.mounts import MAX_SECRET

    if len(value) > MAX_SECRET:
        raise InvalidInput(f"--secret {id}: larger than {MAX_SECRET >> 10} KiB", "put large files into the context")
    return value


def agents(given: Sequence[str], environ: Mapping[str, str]) -> dict[str, Agent]:
    """The agents of `--ssh`, by ID: the user's own, another socket, or private keys. Raises InvalidInput, NotFound."""
    return dict(_agent(text, environ) for text in given)


def _agent(text: str, environ: Mapping[str, str]) -> tuple[str, Agent]:
    from builder.request import Agent

    id, _, places = text.partition("=")
    if not id:
        raise InvalidInput(f"invalid --ssh: {text!r}", "write it as default, or ID=SOCKET, or ID=KEY[,KEY]")
    paths = [os.path.abspath(os.path.expanduser(path)) for path in places.split(",") if path]
    if not paths:
        if not environ.get(_SOCKET):
            raise NotFound(f"--ssh {id}: no ssh agent is running: {_SOCKET} is not set", "start one: eval $(ssh-agent)")
        return id, Agent(environ[_SOCKET])
    sockets = [path for path in paths if _is_socket(id, path)]
    if sockets and len(paths) > 1:
        raise InvalidInput(f"--ssh {id}: a socket goes alone", "give one socket, or key files")
    return id, Agent(sockets[0]) if sockets else Agent(keys=tuple(paths))


def _is_socket(id: str, path: str) -> bool:
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise NotFound(
            f"--ssh {id}: {path}: {(error.strerror or '').lower()}", "give a socket or a private key"
        ) from None
    if not stat.S_ISSOCK(mode) and not stat.S_ISREG(mode):
        raise InvalidInput(f"--ssh {id}: {path} is neither a socket nor a file", "give a socket or a private key")
    return stat.S_ISSOCK(mode)


def limits(given: Sequence[str]) -> tuple[Limit, ...]:
    """The limits of `--ulimit`, the last of a name, sorted. Raises InvalidInput."""
    return tuple(limit for _, limit in sorted({limit.name: limit for limit in map(_limit, given)}.items()))


def _limit(text: str) -> Limit:
    from runtime.step import Limit

    name, _, values = text.partition("=")
    soft, colon, hard = values.partition(":")
    if name not in _LIMITS:
        raise InvalidInput(f"invalid --ulimit: {text!r}: there is no limit {name!r}", f"there are {', '.join(_LIMITS)}")
    try:
        limit = Limit(name, int(soft), int(hard if colon else soft))
        if max(limit.soft, limit.hard) > _MOST:
            raise ValueError
    except ValueError:
        raise InvalidInput(f"invalid --ulimit: {text!r}", f"write it as {name}=SOFT[:HARD], -1 for no limit") from None
    high = limit.hard if limit.hard >= 0 else limit.soft
    if min(limit.soft, limit.hard) < -1 or limit.soft > high or (limit.soft < 0 <= limit.hard):
        raise InvalidInput(f"invalid --ulimit: {text!r}: the soft limit is above the hard one", "raise the hard limit")
    return limit


def rights(given: Sequence[str]) -> frozenset[str]:
    """The entitlements of `--allow`. Raises InvalidInput for one that nobody knows."""
    from builder.dockerfile.source import suggestion

    found = frozenset(right for text in given for right in text.split(",") if right)
    for right in sorted(found):
        name = right.partition("=")[0]
        if name not in _RIGHTS:
            raise InvalidInput(
                f"invalid --allow: {right!r}", suggestion(name, _RIGHTS) or f"there are {', '.join(_RIGHTS)}"
            )
    return found


def jobs(given: str | None) -> int:
    """How many steps may run beside each other; 0, and nothing, leave it to the machine. Raises InvalidInput."""
    if given is None:
        return 0
    if not given.isascii() or not given.isdigit() or len(given) > 4:
        raise InvalidInput(f"invalid --jobs: {given!r}", "give a number")
    return int(given)
