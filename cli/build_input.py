"""What `lamella build` was given, checked; and the Dockerfile and context made ready for the builder."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builder.request import BuildRequest
from core.errors import InvalidInput, NotFound, Unsupported
from core.value import Value
from image.platform import Platform, host_platform
from image.reference import Reference

if TYPE_CHECKING:
    from builder.sources.named import Contexts
    from cli.build_call import Call
    from cli.settings import Settings

HOST_GATEWAY = "host-gateway"  # what runtime.hosts knows as this machine
MAX_DOCKERFILE = 4 << 20
CDI = "LAMELLA_CDI"  # where devices are described, instead of the usual places, with colons between
_REMOTE = ("http://", "https://", "git://", "ssh://", "git@", "github.com/", "ftp://")


class Input(Value):
    """`path` is the context as typed, `file` the -f as typed; `values` are the request's fields that need no reading."""

    path: str
    file: str | None
    values: Mapping[str, Any]
    quiet: bool
    progress: str
    iidfile: str | None
    metadata_file: str | None
    push: bool
    call: Call | None


def read_options(options: Mapping[str, Any], settings: Settings) -> Input:
    """The options, checked before anything is touched. Raises InvalidInput, Unsupported."""
    path, file = options["path"], options["file"]
    if path == "-" and file == "-":
        raise InvalidInput("the Dockerfile and the context cannot both come from stdin", "give one of them as a path")
    for output in filter(None, (options["iidfile"], options["metadata_file"])):
        from cli.sink import writable

        writable(output)
    platform = _platform(options["platform"])
    values = {
        "tags": tuple(map(_tag, options["tags"])),
        "args": _build_args(options["args"], settings.environ),
        "target": options["target"],
        "labels": dict(_pair(label, "--label") for label in options["labels"]),
        "squash": options["squash"],
        "annotations": dict(map(_annotation, options["annotations"])),
        "platform": platform,
        "pull": options["pull"],
        "no_cache": options["no_cache"],
        "no_cache_stages": frozenset(n for text in options["no_cache_stages"] for n in text.lower().split(",")),
        "network": options["network"],
        "add_hosts": tuple(map(_host, options["add_hosts"])),
        "contexts": _contexts(options["contexts"]),
        **_grants(options, settings.environ),
    }
    return Input(
        path, file, values, options["quiet"], options["progress"], options["iidfile"], options["metadata_file"],
        _push(options), _call(options),
    )  # fmt: skip


def _call(options: Mapping[str, Any]) -> Call | None:
    if not options["check"] and not options["call"]:
        return None
    from cli.build_call import read_call

    return read_call(options["call"], check=options["check"])


def _push(options: Mapping[str, Any]) -> bool:
    if options["push"] and not options["tags"]:
        raise InvalidInput("--push needs a name to push to", "give one with -t REGISTRY/NAME")
    return bool(options["push"])


def _grants(options: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """What is hardly ever given, and read only then."""
    given = {
        name: options[name] for name in ("secrets", "agents", "allow", "shm_size", "limits", "jobs") if options[name]
    }
    directories = {"device_directories": tuple(environ[CDI].split(":"))} if CDI in environ else {}
    if not given:
        return directories
    from cli import build_grants as grants
    from cli.container_flags import shm_size

    readers: dict[str, Callable[[Any], Any]] = {
        "secrets": lambda texts: grants.secrets(texts, environ), "agents": lambda texts: grants.agents(texts, environ),
        "allow": grants.rights, "shm_size": shm_size, "limits": grants.limits, "jobs": grants.jobs,
    }  # fmt: skip
    return directories | {name: readers[name](value) for name, value in given.items()}


def _tag(text: str) -> Reference:
    reference = Reference.parse(text)
    if reference.digest:
        raise InvalidInput(f"invalid tag {text!r}: a name to give cannot have a digest", "leave the @sha256:… out")
    return reference.tagged()


def _build_args(given: Sequence[str], environ: Mapping[str, str]) -> dict[str, str]:
    values: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not name:
            raise InvalidInput(f"invalid --build-arg: {text!r}", "write it as KEY=VALUE")
        if equals:
            values[name] = value
        elif name in environ:
            values[name] = environ[name]
        _refuse_bytes(name + values.get(name, ""), f"--build-arg {name}")
    return values


def _refuse_bytes(text: str, what: str) -> None:
    """What is in an image's configuration, or in a key of the cache, is text."""
    if not text.isascii() and any("\udc80" <= ch <= "\udcff" for ch in text):
        raise InvalidInput(f"{what} has bytes that are not UTF-8 text", "write it in UTF-8, or put it into a file")


def _pair(text: str, option: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    if not name:
        raise InvalidInput(f"invalid {option}: {text!r}", "write it as KEY=VALUE")
    _refuse_bytes(text, f"{option} {name}")
    return name, value


def _annotation(text: str) -> tuple[str, str]:
    """`[manifest[PLATFORM]:]KEY=VALUE`; an image for one platform has no index that could be annotated."""
    import re

    found = re.fullmatch(r"([a-z,-]+)(?:\[([^\]]*)\])?:(.*)", text, re.DOTALL)
    kinds = found[1].split(",") if found else ["manifest"]
    for kind in kinds:
        if kind in ("index", "index-descriptor", "manifest-descriptor"):
            raise Unsupported(f"--annotation {text}: no index is made of an image", "annotate the manifest")
        if kind != "manifest":
            raise InvalidInput(f"invalid --annotation: {text!r}", "write it as KEY=VALUE, or manifest:KEY=VALUE")
    return _pair(found[3] if found else text, "--annotation")


def _contexts(given: Sequence[str]) -> Contexts:
    if not given:
        return {}
    from builder.sources.named import parse_context

    return dict(map(parse_context, given))


def _host(text: str) -> str:
    import ipaddress

    name, separator, address = text.partition("=") if "=" in text else text.partition(":")
    address = address.strip("[]")
    try:
        if not separator or name.split() != [name]:
            raise ValueError
        if address != HOST_GATEWAY:
            ipaddress.ip_address(address)
    except ValueError:
        raise InvalidInput(f"invalid --add-host: {text!r}", "write it as name:address") from None
    return f"{name}:{address}"


def _platform(text: str) -> Platform:
    host = host_platform()
    if not text or text == "local":
        return host
    wanted, *others = dict.fromkeys(host if name == "local" else Platform.parse(name) for name in text.split(","))
    if others:
        raise Unsupported(
            f"a build here is for one platform, not for {text}",
            f"use --platform {host}, and build the others elsewhere",
        )
    if wanted != host:
        raise Unsupported(f"this machine builds for {host} only, not for {wanted}", f"use --platform {host}")
    return wanted


@contextlib.contextmanager
def prepared(given: Input, settings: Settings) -> Iterator[BuildRequest]:
    """The request with its Dockerfile read and its context in a directory. Raises NotFound, InvalidInput, Unavailable."""
    if _is_here(given):
        yield _local(given, directory_of(given))
        return
    from cli.build_context import received

    with received(given, settings) as request:
        yield request


def is_url(file: str | None) -> bool:
    """Whether a -f is an address."""
    return (file or "").startswith(("http://", "https://"))


def _is_here(given: Input) -> bool:
    """Whether no part of the context has to be brought here first; a directory wins over what reads as an address."""
    if given.path == "-" or is_url(given.file):
        return False
    return not given.path.startswith(_REMOTE) or os.path.isdir(given.path)


def directory_of(given: Input) -> Path:
    """The context that is a directory here. Raises NotFound."""
    context = Path(given.path)
    if not context.is_dir():
        what = "is not a directory" if context.exists() else "does not exist"
        raise NotFound(
            f"the build context {given.path} {what}", "give the directory that holds the files to build from"
        )
    return context


def _local(given: Input, context: Path) -> BuildRequest:
    if given.file == "-":
        return BuildRequest(limited(sys.stdin.buffer.read(MAX_DOCKERFILE + 1), "stdin"), "-", context, **given.values)
    file = find_dockerfile(given.file, context)
    return BuildRequest(
        read_dockerfile(_within(file, context)), given.file or os.path.relpath(file, context), context, file, **given.values
    )  # fmt: skip


def find_dockerfile(name: str | None, context: Path) -> Path:
    """The file that -f names, from here or else from the context; the context's own where it names none. Raises NotFound."""
    candidates = [Path(name), context / name] if name else [context / "Dockerfile", context / "dockerfile"]
    for candidate in candidates:
        if _within(candidate, context).exists():
            return candidate
    raise NotFound(f"no Dockerfile at {candidates[0]}", "name it with -f, or give another build context")


def _within(path: Path, context: Path) -> Path:
    """Where the file really is. Links of a context lead nowhere else: it may be a stranger's, and errors quote the file."""
    from core.paths import resolve_in

    top = os.path.abspath(context)
    relative = os.path.relpath(os.path.abspath(path), top)
    return path if relative.split("/")[0] == ".." else Path(resolve_in(top, relative))


def read_dockerfile(path: Path) -> bytes:
    """Its text. Raises InvalidInput where it cannot be one."""
    if path.is_dir():
        raise InvalidInput(f"{path} is a directory, not a Dockerfile", "name the file with -f")
    with path.open("rb") as file:
        return limited(file.read(MAX_DOCKERFILE + 1), str(path))


def limited(data: bytes, name: str) -> bytes:
    """`data` if it is no longer than a Dockerfile may be. Raises InvalidInput."""
    if len(data) > MAX_DOCKERFILE:
        raise InvalidInput(f"{name} is no Dockerfile: it has more than {MAX_DOCKERFILE >> 20} MiB")
    return data
