"""Contexts that come from elsewhere: on stdin, from a web server, from a git repository; and a Dockerfile by its URL."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from builder.context_stream import Streamed, receive
from builder.request import BuildRequest
from cli.build_input import MAX_DOCKERFILE, Input, directory_of, find_dockerfile, is_url, limited, read_dockerfile
from core.errors import InvalidInput, NotFound
from core.value import replace

if TYPE_CHECKING:
    from builder.sources.remote import Remote
    from cli.settings import Settings
    from store.caches import Caches
    from store.temporary import Temporaries

KEEP_GIT = "BUILDKIT_CONTEXT_KEEP_GIT_DIR"


@contextlib.contextmanager
def received(given: Input, settings: Settings) -> Iterator[BuildRequest]:
    """The request with all that it needs brought here, as long as the block lasts. Raises NotFound, InvalidInput,
    Unavailable, Integrity."""
    from cli.wiring import open_store
    from core.removal import remove
    from store.caches import Caches

    with open_store(settings) as store:
        temporaries, caches = store.temporaries, Caches(store.root)
    fd, directory = temporaries.directory()
    try:
        if given.path == "-" and not is_url(given.file):
            yield _streamed(given, receive(sys.stdin.buffer, directory), "stdin")
        else:
            with _opened(given, settings, temporaries, caches) as remote:
                request = _received(given, remote, directory)
            yield request
    finally:
        remove(directory)
        os.close(fd)


@contextlib.contextmanager
def _opened(given: Input, settings: Settings, temporaries: Temporaries, caches: Caches) -> Iterator[Remote]:
    from builder.sources.remote import Remote
    from cli.build_web import outside

    secrets, agents = given.values.get("secrets", {}), given.values.get("agents", {})
    remote = Remote(outside(settings, secrets.get, agents.get("default")), temporaries, caches)
    try:
        yield remote
    finally:
        remote.close()


def _received(given: Input, remote: Remote, directory: Path) -> BuildRequest:
    """Of the context or the Dockerfile at least one is at an address."""
    from builder.sources.address import GitAddress, parse_address, shown

    if not is_url(given.file):
        return _context(given, remote, directory)
    if given.path == "-":
        request = _streamed(replace(given, file=None), receive(sys.stdin.buffer, directory), "stdin", whole=False)
    elif os.path.isdir(given.path):
        request = BuildRequest(b"", "", directory_of(given), **given.values)
    else:
        request = _context(given, remote, directory, whole=False)
    file = parse_address(given.file or "")
    if file is None or isinstance(file, GitAddress):
        raise InvalidInput(f"-f {shown(given.file or '')} names no file", "give a path, an http(s) address, or -")
    with remote.http.fetch(file, limit=MAX_DOCKERFILE) as spooled:
        return replace(request, dockerfile=read_dockerfile(spooled.path), dockerfile_name=shown(file.url))


def _context(given: Input, remote: Remote, directory: Path, *, whole: bool = True) -> BuildRequest:
    from builder.sources.address import GitAddress, HttpAddress, parse_address, shown

    address = parse_address(given.path, context=True)
    if isinstance(address, HttpAddress):
        name = shown(address.url)
        with remote.http.fetch(address) as spooled, spooled.path.open("rb") as stream:
            return _streamed(given, receive(stream, directory, name), name, whole=whole)
    if address is None:
        raise InvalidInput(f"the build context {shown(given.path)} is no address", "write a git one as USER@HOST:PATH")
    if given.values["args"].get(KEEP_GIT, "").lower() in ("1", "true"):
        address = replace(address, keep_git=True)
    assert isinstance(address, GitAddress)
    remote.git.checkout(address, remote.commit(address), directory)
    return _complete(given, directory, shown(given.path)) if whole else _bare(given, directory)


def _streamed(given: Input, found: Streamed, name: str, *, whole: bool = True) -> BuildRequest:
    """A Dockerfile alone (the context is empty then), or the archive of a context."""
    if found.dockerfile is None:
        return _complete(given, found.directory, name) if whole else _bare(given, found.directory)
    if given.file:
        raise InvalidInput(f"{name} is the Dockerfile, so -f says nothing", "leave -f out")
    text = limited(found.dockerfile, name)
    return replace(_bare(given, found.directory), dockerfile=text, dockerfile_name="-" if name == "stdin" else name)


def _bare(given: Input, directory: Path) -> BuildRequest:
    """With its Dockerfile to come."""
    return BuildRequest(b"", "", directory, sent=True, **given.values)


def _complete(given: Input, directory: Path, origin: str) -> BuildRequest:
    """The context is there, and -f names a file in it."""
    name, request = given.file, _bare(given, directory)
    if name == "-":
        text = limited(sys.stdin.buffer.read(MAX_DOCKERFILE + 1), "stdin")
        return replace(request, dockerfile=text, dockerfile_name="-")
    try:
        file = find_dockerfile(os.path.join(directory, name) if name else None, directory)
    except NotFound as error:
        raise NotFound(f"no {name or 'Dockerfile'} in the context from {origin}", error.hint) from error
    text, shown_as = read_dockerfile(file), name or file.name
    return replace(request, dockerfile=text, dockerfile_name=shown_as, dockerfile_path=file)
