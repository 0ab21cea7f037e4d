"""WWW-Authenticate: what a registry wants before it answers (RFC 9110, 11.6.1; distribution's token specification)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from registry.client.errors import Misbehaved
from registry.client.tls import is_loopback

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_PART = re.compile(rf'\s*,?\s*({_TOKEN})(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))|(?=[\s,]|$))')
LONGEST = 8192


@dataclass(frozen=True, slots=True)
class Challenge:
    """`scheme` is lower-case: `basic`, `bearer`, or one that we do not know."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)


def parse(header: str) -> list[Challenge]:
    """Every challenge in the header, in order; nonsense ends the list."""
    found: list[tuple[str, dict[str, str]]] = []
    position, header = 0, header[:LONGEST]
    while (part := _PART.match(header, position)) is not None:
        name, quoted, bare = part.groups()
        if quoted is None and bare is None:
            found.append((name.lower(), {}))
        elif found:
            found[-1][1][name.lower()] = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else bare
        position = part.end()
    return [Challenge(*one) for one in found]


def choose(header: str) -> Challenge | None:
    """The challenge we answer: a bearer token where there is a realm for it, else Basic."""
    known = parse(header)
    for one in known:
        if one.scheme == "bearer" and one.parameters.get("realm"):
            return one
    return next((one for one in known if one.scheme == "basic"), None)


def realm_of(challenge: Challenge, registry: str) -> str:
    """Where the token is fetched. Raises Misbehaved for a realm that credentials must not be sent to.

    `registry` is the URL that challenged: one that speaks https may not send us to plain http.
    """
    realm = challenge.parameters["realm"]
    try:
        parts = urlsplit(realm)
        host, user = parts.hostname, parts.username
    except ValueError:
        host = user = None
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not host or user is not None:
        raise Misbehaved(f"{urlsplit(registry).netloc} names a token server that is not http(s): {realm[:200]!r}")
    if parts.scheme == "http" and registry.startswith("https:") and not is_loopback(host):
        raise Misbehaved(
            f"{urlsplit(registry).netloc} wants credentials sent in the clear to {host}", "its realm must be https"
        )
    return realm
