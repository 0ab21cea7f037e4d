"""Bearer tokens from a token server (distribution's "Token Authentication" and its OAuth2 variant), kept per scope."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from registry.client.answers import expect
from registry.client.challenge import Challenge, realm_of
from registry.client.credentials import Credential
from registry.client.errors import Misbehaved
from registry.client.transport import Body, Request, Transport, read_all

TOKEN_BYTES = 1 << 20
DEFAULT_SECONDS = 60  # the specification's life time of a token that does not say
CLIENT_ID = "lamella"


@dataclass(frozen=True, slots=True)
class Token:
    """`until` on the monotonic clock; `refresh` is an identity token where the server gave one."""

    value: str
    until: float
    refresh: str = ""


class Tokens:
    """Fetches tokens over `transport` and keeps them while they live. Not locked: its owner is."""

    def __init__(self, transport: Transport, clock: Callable[[], float] = time.monotonic) -> None:
        self._transport = transport
        self._clock = clock
        self._kept: dict[tuple[str, str, frozenset[str]], Token] = {}

    def get(self, challenge: Challenge, registry: str, scopes: frozenset[str], credential: Credential | None) -> str:
        """A token for `scopes`, from memory or fetched. Raises Denied where the server does not give one."""
        key = (challenge.parameters["realm"], challenge.parameters.get("service", ""), scopes)
        kept = self._kept.get(key)
        if kept is None or kept.until <= self._clock():
            kept = self._kept[key] = self.fetch(challenge, registry, scopes, credential)
        return kept.value

    def forget(self, value: str) -> None:
        """Never use this token again (the registry did not take it)."""
        self._kept = {k: v for k, v in self._kept.items() if v.value != value}

    def fetch(
        self, challenge: Challenge, registry: str, scopes: frozenset[str], credential: Credential | None,
        *, offline: bool = False,
    ) -> Token:  # fmt: skip
        """A fresh token; `offline` asks for an identity token as well."""
        realm, service = realm_of(challenge, registry), challenge.parameters.get("service", "")
        build = _refresh if credential and credential.identity_token else _direct
        request = build(realm, service, sorted(scopes), credential, offline)
        answer = expect(self._transport.send(request), request, f"a token for {urlsplit(registry).netloc}", 200)
        return self._parse(read_all(answer, TOKEN_BYTES, "the token server's answer"), urlsplit(realm).netloc)

    def _parse(self, raw: bytes, server: str) -> Token:
        try:
            data = json.loads(raw)
            value = data.get("token") or data.get("access_token")
            seconds = float(data.get("expires_in") or DEFAULT_SECONDS)
            refresh = data.get("refresh_token") or ""
        except (ValueError, AttributeError, TypeError, RecursionError):
            value = refresh = None
            seconds = 0.0
        if not isinstance(value, str) or not isinstance(refresh, str) or not (value.isascii() and value.isprintable()):
            raise Misbehaved(f"the token server {server} gave an answer without a token")
        return Token(value, self._clock() + max(0.0, seconds * 0.9), refresh)


def _direct(realm: str, service: str, scopes: list[str], credential: Credential | None, offline: bool) -> Request:
    query = [("service", service)] if service else []
    query += [("scope", scope) for scope in scopes]
    query += [("offline_token", "true")] if offline else []
    headers = {}
    if credential:
        query += [("account", credential.user), ("client_id", CLIENT_ID)]
        headers["Authorization"] = basic(credential)
    parts = urlsplit(realm)
    full = urlencode(parse_qsl(parts.query, keep_blank_values=True) + query)
    return Request("GET", urlunsplit(parts._replace(query=full, fragment="")), headers)


def _refresh(realm: str, service: str, scopes: list[str], credential: Credential | None, offline: bool) -> Request:
    form = {"grant_type": "refresh_token", "service": service, "client_id": CLIENT_ID, "scope": " ".join(scopes),
            "refresh_token": credential.identity_token if credential else ""}  # fmt: skip
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return Request("POST", realm, headers, Body.of(urlencode(form).encode()))


def basic(credential: Credential) -> str:
    """The value of an Authorization header (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{credential.user}:{credential.password}".encode()).decode()
