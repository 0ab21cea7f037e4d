"""What a build needs of the web, brought in by whoever starts it: this room knows no sockets, proxies and certificates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from core.value import Value, field

if TYPE_CHECKING:
    from builder.request import Agent


class Answer(Protocol):
    """An answer whose body has not been read; closed once by whoever got it. The headers' names are lower-case."""

    status: int
    headers: Mapping[str, str]

    def read(self, amount: int) -> bytes:
        """Up to `amount` bytes of the body, empty at its end only. Raises Unavailable where the connection breaks, or
        where fewer came than were announced."""

    def close(self) -> None:
        """Give the connection back. Harmless to repeat."""


class Web(Protocol):
    """Web servers. May be used by several threads."""

    def get(self, url: str, headers: Mapping[str, str]) -> Answer:
        """The last answer after redirects (which `headers` that authorise never follow to another host) and after further
        tries where it was 429 or 5xx. Raises Unavailable where nobody answers."""

    def close(self) -> None:
        """Close what is open. Harmless to repeat."""


MAX_BYTES = 64 << 30


class Outside(Value):
    """All that a build knows of the world: `web`, asked for when the first file is to be fetched; `variables`, the
    environment of the git program; `secret`, the value of a build secret, or None; `limit`, the bytes that a file or a
    repository may have; `agent`, the ssh agent that opens git servers (`--ssh default`), if it is not the user's own."""

    web: Callable[[], Web]
    variables: Mapping[str, str] = field(default_factory=dict)
    secret: Callable[[str], bytes | None] = lambda name: None
    limit: int = MAX_BYTES
    agent: Agent | None = None
