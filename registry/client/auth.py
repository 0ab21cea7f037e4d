"""A Transport that answers one registry's challenges: Basic, or a bearer token for each scope."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from registry.client.challenge import Challenge, choose
from registry.client.credentials import Credential
from registry.client.tokens import Tokens, basic
from registry.client.transport import Request, Response, Transport, drain, origin


class Auth:
    """Wraps the Transport to the registry at `base` (its URL). Nobody else ever sees what it adds.

    `credential` is called once, at the first challenge: asking a helper may take a while.
    """

    def __init__(self, inner: Transport, base: str, credential: Callable[[], Credential | None]) -> None:
        self._inner = inner
        self._base = base
        self._ask = credential
        self._asked = False
        self._credential: Credential | None = None
        self._challenge: Challenge | None = None
        self._tokens = Tokens(inner)
        self._lock = threading.Lock()

    def challenged(self, header: str) -> None:
        """Remember the challenge that came with the answer to `GET /v2/`, to save the first 401 of every scope."""
        self._challenge = choose(header) or self._challenge

    def send(self, request: Request) -> Response:
        """As the Protocol; a 401 that comes back is final."""
        if origin(request.url) != origin(self._base):
            return self._inner.send(request)
        known = self._challenge
        header = self._authorization(known, frozenset(request.scopes)) if known else None
        response = self._inner.send(_with(request, header))
        if response.status != 401 or origin(response.url) != origin(self._base):
            return response  # a host we were redirected to cannot make us answer its challenge
        wanted = choose(response.headers.get("www-authenticate", ""))
        if wanted is None:
            return response
        self._challenge = wanted
        if header:
            with self._lock:
                self._tokens.forget(header.removeprefix("Bearer "))
        scopes = frozenset(request.scopes or wanted.parameters.get("scope", "").split())
        again = self._authorization(wanted, scopes)
        if again is None or again == header:
            return response
        drain(response)
        return self._inner.send(_with(request, again))

    def _authorization(self, challenge: Challenge, scopes: frozenset[str]) -> str | None:
        with self._lock:
            credential = self.credential()
            if challenge.scheme == "bearer":
                return "Bearer " + self._tokens.get(challenge, self._base, scopes, credential)
            return basic(credential) if credential and not credential.identity_token else None

    def credential(self) -> Credential | None:
        """Who we are here; None when anonymous."""
        if not self._asked:
            self._credential, self._asked = self._ask(), True
        return self._credential

    def close(self) -> None:
        self._inner.close()


def _with(request: Request, authorization: str | None) -> Request:
    return replace(request, headers={**request.headers, "Authorization": authorization}) if authorization else request
