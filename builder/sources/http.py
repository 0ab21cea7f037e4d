"""Files of web servers: asked for anew in each build, sent again only where they have changed (RFC 9110 section 13).

A file goes to a temporary one first, hashed and counted on the way; what it is and whether it is the one that was wanted
is known before anything is made of it.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit, urlunsplit

from builder.sources.address import HttpAddress, shown
from builder.sources.spool import Broken, Spooled, TooLong, Version, modified_time, spool
from builder.sources.web import Answer, Outside, Web
from core.errors import Integrity, InvalidInput, LamellaError, NotFound, Unavailable
from image.digest import Digest
from store.temporary import Temporaries

TRIES = 3
PAUSE_SECONDS = 0.2
_RACY_SECONDS = 2


class Notes(Protocol):
    """What earlier builds have found out. May be used by several threads."""

    def recall(self, key: str) -> bytes | None:
        """What was remembered under `key` (a hex sha256)."""

    def remember(self, key: str, value: bytes) -> None:
        """Keep `value` for later builds, at the latest when this one ends well."""


class Downloads:
    """The files of one build. May be used by several threads; `close` removes what nobody came for."""

    def __init__(
        self, outside: Outside, temporaries: Temporaries, notes: Notes | None = None, *, fresh: bool = False
    ) -> None:
        """`fresh`: everything is sent again, but noted."""
        self._outside = outside
        self._temporaries = temporaries
        self._notes = notes
        self._limit = outside.limit
        self._fresh = fresh
        self._guard = threading.Lock()
        self._web: Web | None = None
        self._waiting: dict[str, Spooled] = {}
        self._resolved: dict[str, Version] = {}
        self._asking: dict[str, threading.Lock] = {}

    def resolve(self, address: HttpAddress) -> Version:
        """What the file is now: one answer for the whole build. It is only sent where it is not the one that an earlier
        build noted. Raises NotFound, InvalidInput, Unavailable, each naming the URL."""
        with self._asking.setdefault(address.url, threading.Lock()):
            found = self._resolved.get(address.url)
            if found is None:
                found = self._resolved[address.url] = self._resolve(address)
            return found

    def _resolve(self, address: HttpAddress) -> Version:
        key = sha256(f"http {address.url}".encode()).hexdigest()
        known = _note(self._notes.recall(key)) if self._notes and not self._fresh else {}
        answer = self._get(address, _conditions(known))
        if known and _is_unchanged(answer, known):
            answer.close()
            return Version(Digest(known["digest"]), known["modified"])
        note = _validators(answer.headers)
        spooled = self._receive(address, answer)
        self._keep(address, spooled)
        if self._notes and note:
            told = {**note, "digest": spooled.version.digest, "modified": spooled.version.modified}
            self._notes.remember(key, json.dumps(told).encode())
        return spooled.version

    def fetch(self, address: HttpAddress, expected: Digest | None = None, *, limit: int | None = None) -> Spooled:
        """The file itself, whose bytes are those of `expected` where that is given: raises Integrity, and keeps nothing,
        where they are others, and InvalidInput where they are more than `limit`. Else as `resolve`; the caller closes it."""
        with self._guard:
            spooled = self._waiting.pop(address.url, None)
        if spooled is None:
            spooled = self._receive(address, self._get(address, {}), limit)
        found = spooled.version.digest
        if expected is not None and found != expected:
            spooled.close()
            raise Integrity(
                f"{shown(address.url)} is not what it should be: its checksum is {found}, not {expected}",
                "do not trust it; where the change is meant, write down the new checksum",
            )
        return spooled

    def close(self) -> None:
        """Harmless to repeat."""
        with self._guard:
            waiting, self._waiting = self._waiting, {}
            web, self._web = self._web, None
        for spooled in waiting.values():
            spooled.close()
        if web:
            web.close()

    def _keep(self, address: HttpAddress, spooled: Spooled) -> None:
        with self._guard:
            before = self._waiting.pop(address.url, None)
            self._waiting[address.url] = spooled
        if before:
            before.close()

    def _get(self, address: HttpAddress, headers: Mapping[str, str]) -> Answer:
        with self._guard:
            self._web = web = self._web or self._outside.web()
        url, authorised = _bare(address.url)
        answer = web.get(url, {**headers, **(authorised or self._authorised(url))})
        if answer.status == 200 or (answer.status == 304 and headers):
            return answer
        answer.close()
        raise _refusal(answer.status, address)

    def _authorised(self, url: str) -> dict[str, str]:
        """By a build secret for that host."""
        host = urlsplit(url).hostname or ""
        if header := self._outside.secret(f"HTTP_AUTH_HEADER_{host}"):
            return {"Authorization": _one_line(header, host)}
        if token := self._outside.secret(f"HTTP_AUTH_TOKEN_{host}"):
            return {"Authorization": f"Bearer {_one_line(token, host)}"}
        return {}

    def _receive(self, address: HttpAddress, answer: Answer, limit: int | None = None) -> Spooled:
        """The body, asked for again where the connection breaks."""
        tries = 1
        while True:
            try:
                return spool(answer, self._temporaries, limit or self._limit)
            except TooLong as error:
                raise InvalidInput(
                    f"{shown(address.url)} has more than {error.limit} bytes",
                    "fetch it in a RUN" if limit else "fetch it in a RUN, or allow more: LAMELLA_FETCH_LIMIT=SIZE",
                ) from None
            except Broken as error:
                if tries == TRIES:
                    raise Unavailable(f"{shown(address.url)}: {error.message}", error.hint) from error
            time.sleep(PAUSE_SECONDS * tries)
            tries += 1
            answer = self._get(address, {})


def _note(value: bytes | None) -> dict[str, Any]:
    return dict(json.loads(value)) if value else {}


def _conditions(known: Mapping[str, Any]) -> dict[str, str]:
    if etag := known.get("etag"):
        return {"If-None-Match": etag}
    since = known.get("since")
    return {"If-Modified-Since": since} if since else {}


def _is_unchanged(answer: Answer, known: Mapping[str, Any]) -> bool:
    """Also where a server gives ETags and does not heed them."""
    etag = answer.headers.get("etag", "")
    return answer.status == 304 or (bool(etag) and not etag.startswith("W/") and etag == known.get("etag"))


def _validators(headers: Mapping[str, str]) -> dict[str, str]:
    """What the next build asks with; nothing where the server gives nothing to rely on."""
    if etag := headers.get("etag"):
        return {"etag": etag}
    since = headers.get("last-modified", "")
    modified, now = modified_time(since), modified_time(headers.get("date", "")) or time.time()
    # What was changed a moment ago may change again within the same second (RFC 9110 section 8.8.2.2).
    return {"since": since} if modified is not None and modified + _RACY_SECONDS <= now else {}


def _bare(url: str) -> tuple[str, dict[str, str]]:
    """The URL without the credentials in it, and the header that they mean."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    if not at:
        return url, {}
    from base64 import b64encode

    name, _, password = user.partition(":")
    basic = b64encode(f"{unquote(name)}:{unquote(password)}".encode()).decode()
    return urlunsplit(parts._replace(netloc=host)), {"Authorization": f"Basic {basic}"}


def _one_line(secret: bytes, host: str) -> str:
    text = secret.decode("latin-1").strip()
    if not text.isprintable():
        raise InvalidInput(f"the secret for {host} is no header: it has control characters", "it must be one line")
    return text


def _refusal(status: int, address: HttpAddress) -> LamellaError:
    where = shown(address.url)
    if status in (404, 410):
        return NotFound(f"{where} is not there: the server answers {status}", "check the address")
    if status in (401, 403):
        host = urlsplit(address.url).hostname
        hint = f"give a token with --secret id=HTTP_AUTH_TOKEN_{host},src=FILE"
        return InvalidInput(f"{where}: the server answers {status} and wants other credentials", hint)
    if status == 304:
        return Unavailable(
            f"{where}: the server answers a plain request with 304", "it is misconfigured; try again later"
        )
    if status == 429 or status >= 500:
        return Unavailable(f"{where}: the server failed with {status}, time after time", "try again later")
    return InvalidInput(f"{where}: the server answers {status}", "check the address")
