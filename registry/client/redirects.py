"""Redirects, followed by hand: a few, only to http(s), never with credentials for another origin."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urljoin, urlsplit

from registry.client.errors import Misbehaved
from registry.client.transport import Request, Response, Transport, drain, origin

MAX_HOPS = 8
STATUSES = frozenset({301, 302, 303, 307, 308})


class Redirects:
    """A Transport that follows redirects (distribution-spec: "clients must not forward Authorization across hosts")."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner

    def send(self, request: Request) -> Response:
        """As the Protocol. Raises Misbehaved for a loop, too many hops, and an address that is not http(s)."""
        seen = {request.url}
        for _ in range(MAX_HOPS):
            response = self._inner.send(request)
            where = response.headers.get("location")
            if response.status not in STATUSES or not where:
                return response
            drain(response)
            request = follow(request, where)
            if request.url in seen:
                raise Misbehaved(f"{request.url[:200]} redirects to itself", "the registry or a proxy is misconfigured")
            seen.add(request.url)
        raise Misbehaved(
            f"{urlsplit(min(seen)).netloc} redirects more than {MAX_HOPS} times",
            "the registry or a proxy is misconfigured",
        )

    def close(self) -> None:
        self._inner.close()


def follow(request: Request, where: str) -> Request:
    """The request that `where` asks for instead. Also used for the Location of an upload."""
    try:
        url = urljoin(request.url, where)
    except ValueError:
        raise Misbehaved(f"{origin(request.url)[1]} redirects to a malformed address: {where[:200]!r}") from None
    before, after = origin(request.url), origin(url)
    if before[0] == "https" and after[0] == "http" and before[1] != after[1]:
        raise Misbehaved(
            f"{before[1]} redirects from https to plain http at {after[1]}", "the registry is misconfigured"
        )
    if urlsplit(url).username is not None:
        raise Misbehaved(f"{before[1]} redirects to an address with credentials in it")
    headers = dict(request.headers)
    if before != after:
        headers = {k: v for k, v in headers.items() if k.lower() not in ("authorization", "cookie")}
    return replace(request, url=url, headers=headers)
