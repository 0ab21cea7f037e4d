"""Further contexts (--build-context NAME=VALUE): what may stand for a stage, an image or a --from of that name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from builder.sources.address import Address, parse_address
from core.errors import InvalidInput
from core.value import Value
from image.digest import Digest
from image.platform import Platform
from image.reference import Reference


class DirectoryContext(Value):
    """Files of this machine; it may have a .dockerignore of its own."""

    path: Path


class ImageContext(Value):
    """An image by its name."""

    name: str


class LayoutContext(Value):
    """An image of the OCI layout in a directory: the one called `tag` or `digest`, or its only one where both are empty."""

    path: Path
    tag: str = ""
    digest: Digest | None = None


Further = DirectoryContext | ImageContext | LayoutContext | Address
Contexts = Mapping[str, Further]


def parse_context(text: str) -> tuple[str, Further]:
    """`NAME=VALUE` as the key under which `find` knows it, and what it stands for. Raises InvalidInput."""
    name, equals, value = text.partition("=")
    if not name or not equals or not value:
        raise InvalidInput(
            f"invalid --build-context: {text!r}", "write it as NAME=DIRECTORY, or NAME=docker-image://IMAGE …"
        )
    name, colons, platform = name.partition("::")
    return _key(name) + (f"::{Platform.parse(platform)}" if colons else ""), _parse_value(value)


def find(contexts: Contexts, name: str, platform: Platform) -> Further | None:
    """What `name` stands for in a build for `platform`; None where it is no context's."""
    if not contexts:
        return None
    key = _key(name)
    return contexts.get(f"{key}::{platform}") or contexts.get(key)


def _key(name: str) -> str:
    """`app`, `docker.io/library/app` and `app:latest` are one name."""
    try:
        return Reference.parse(name).tagged().familiar.removesuffix(":latest")
    except InvalidInput:
        return name.lower()


def _parse_value(value: str) -> Further:
    kind, separator, rest = value.partition("://")
    if separator and kind == "docker-image":
        if rest != "scratch":
            Reference.parse(rest)
        return ImageContext(rest)
    if separator and kind == "oci-layout":
        return _parse_layout(rest)
    if value.startswith("target:"):
        raise InvalidInput(f"{value}: only a bake file has targets", "build the target first, and name its image")
    address = parse_address(value)
    if address is not None:
        return address
    path = Path(value)
    if not path.is_dir():
        raise InvalidInput(
            f"the further context {value} is no directory", "name a directory, or docker-image://IMAGE …"
        )
    return DirectoryContext(path.resolve())


def _parse_layout(text: str) -> LayoutContext:
    rest, at, digest = text.partition("@")
    before, slash, last = rest.rpartition("/")
    last, colon, tag = last.partition(":")
    path = Path(before + slash + last)
    if not path.is_dir() or (colon and not tag):
        raise InvalidInput(f"oci-layout://{text} names no directory", "write oci-layout://DIRECTORY[:TAG][@sha256:…]")
    return LayoutContext(path.resolve(), tag, Digest.parse(digest) if at else None)
