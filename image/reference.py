"""Image names: `[host[:port]/]path[:tag][@digest]`, normalised as Docker does (docker.io, library, latest)."""

from __future__ import annotations

from core.errors import InvalidInput
from core.value import Value, replace
from core.words import DIGITS, HEX, LETTERS, SMALL, is_name
from image.digest import Digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

DEFAULT_REGISTRY = "docker.io"
DEFAULT_TAG = "latest"
MAX_NAME = 255

_LONGEST_TAG = 128
_PATH_MARKS = ("", ".", "_", "__")  # what may stand between the letters of a path's part, besides any number of dashes
_NO_MARKS = str.maketrans(dict.fromkeys(SMALL, "/"))
_HOST = LETTERS | {"-"}
_IPV6 = frozenset(DIGITS + "abcdefABCDEF:")


class Reference(Value):
    """`registry` as it is spelled in names (`docker.io`, `localhost:5000`), `path` within it; at most one tag, one digest."""

    registry: str
    path: str
    tag: str = ""
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """`text` normalised; neither tag nor digest is invented (see `tagged`). Raises InvalidInput, saying what is wrong."""
        rest, _, digest = text.partition("@")
        name, tag = _split_tag(rest)
        registry, path = _split_registry(name)
        if len(rest) == 64 and not set(rest) - HEX:
            raise InvalidInput(
                f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings",
                "use the ID where an image is asked for",
            )
        if path != path.lower():
            raise InvalidInput(
                f"invalid reference format: repository name must be lowercase: {text!r}", f"write {text.lower()!r}"
            )
        if not all(map(_is_part, path.split("/"))) or not (registry == DEFAULT_REGISTRY or _is_host(registry)):
            raise InvalidInput(
                f"invalid reference format: {text!r}",
                "write it as [host[:port]/]name[:tag], such as localhost:5000/team/app:1.0",
            )
        if (":" in rest.rpartition("/")[2] or tag) and not is_name(tag, _LONGEST_TAG, first="_"):
            raise InvalidInput(
                f"invalid reference format: the tag in {text!r}",
                "a tag has at most 128 letters, digits, '_', '.', '-', and starts with none of '.-'",
            )
        if len(f"{registry}/{path}") > MAX_NAME:
            raise InvalidInput(f"the image name {text[:40]!r}… is longer than {MAX_NAME} characters")
        return cls(registry, path, tag, Digest.parse(digest) if "@" in text else None)

    @property
    def repository(self) -> str:
        """`registry/path`, the full form that the catalog stores."""
        return f"{self.registry}/{self.path}"

    @property
    def familiar_repository(self) -> str:
        """The short form that people read: without `docker.io/` and `library/`."""
        if self.registry != DEFAULT_REGISTRY:
            return self.repository
        return self.path.removeprefix("library/")

    @property
    def familiar(self) -> str:
        """The short form with tag and digest."""
        return self.familiar_repository + self._suffix()

    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    def __str__(self) -> str:
        return self.repository + self._suffix()

    def tagged(self) -> Self:
        """Itself, with the tag `latest` where it has neither tag nor digest."""
        return self if self.tag or self.digest else replace(self, tag=DEFAULT_TAG)

    def with_tag(self, tag: str) -> Self:
        return replace(self, tag=tag, digest=None)

    def with_digest(self, digest: Digest) -> Self:
        return replace(self, tag="", digest=digest)


def _split_tag(text: str) -> tuple[str, str]:
    head, colon, tag = text.rpartition(":")
    return (head, tag) if colon and "/" not in tag else (text, "")


def _split_registry(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost" or first != first.lower()):
        registry, path = (DEFAULT_REGISTRY if first == "index.docker.io" else first), rest
    else:
        registry, path = DEFAULT_REGISTRY, name
    if registry == DEFAULT_REGISTRY and "/" not in path:
        path = f"library/{path}"
    return registry, path


def _is_part(text: str) -> bool:
    """Whether it is small letters and digits, single marks between them."""
    marks = text.translate(_NO_MARKS).split("/")
    between = all(mark in _PATH_MARKS or not mark.strip("-") for mark in marks)
    return bool(text) and not marks[0] and not marks[-1] and between


def _is_host(text: str) -> bool:
    """Whether it is a host's name or address, and perhaps its port."""
    name, colon, port = (text, "", "") if text.endswith("]") else text.rpartition(":")
    if colon and (len(port) > 5 or not (port.isascii() and port.isdecimal())):
        return False
    if name.startswith("["):
        return name.endswith("]") and len(name) > 2 and not set(name[1:-1]) - _IPV6
    labels = (name if colon else text).split(".")
    return all(label and not set(label) - _HOST and "-" not in (label[0], label[-1]) for label in labels)
