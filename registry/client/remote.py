"""One registry, found and spoken to: which URL it has (https or, where that is allowed, http) and its repositories."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from core.errors import LamellaError
from registry.client import tls
from registry.client.answers import expect
from registry.client.auth import Auth
from registry.client.credentials import HUB_NAMES, Credentials
from registry.client.errors import ConnectionFailed, Misbehaved, Untrusted
from registry.client.redirects import Redirects, follow
from registry.client.retry import Patience, Retry
from registry.client.settings import ClientSettings
from registry.client.transport import Request, Response, Transport, drain

HUB_HOST = "registry-1.docker.io"


def host_of(registry: str) -> str:
    """Where the registry that names call `registry` really is."""
    return HUB_HOST if registry in HUB_NAMES else registry


def bases_of(registry: str, settings: ClientSettings) -> tuple[str, ...]:
    """The URLs at which `registry` may be, the likeliest first. Plain http only on loopback and where it was allowed."""
    host = host_of(registry)
    bare = urlsplit(f"//{host}").hostname or host
    secure, plain = f"https://{host}", f"http://{host}"
    if tls.is_loopback(bare):
        certified = any(tls.folders(settings.certs_dirs, (host,)))
        return (secure, plain) if certified else (plain, secure)
    if not settings.tls_verify or {host, bare} & settings.insecure:
        return (secure, plain)
    return (secure,)


class Remote:
    """A registry (or a mirror of one) by the name that credentials know. Nothing is sent before it is used."""

    def __init__(
        self, name: str, bases: Sequence[str], wire: Transport, credentials: Credentials, patience: Patience
    ) -> None:
        """`bases` are tried in order until one answers; a path in them is put before every repository's name."""
        self.name = name
        self._bases = bases
        self._wire = Redirects(wire)
        self._credentials = credentials
        self.patience = patience
        self._lock = threading.Lock()
        self._found: tuple[str, Transport] | None = None

    def connection(self) -> tuple[str, Transport]:
        """The URL that answers, and the Transport to it. Raises ConnectionFailed, Untrusted."""
        with self._lock:
            if self._found is None:
                self._found = self._find()
            return self._found

    def _find(self) -> tuple[str, Transport]:
        first: LamellaError | None = None
        for number, base in enumerate(self._bases):
            last = number == len(self._bases) - 1
            parts = urlsplit(base)
            root = f"{parts.scheme}://{parts.netloc}"
            auth = Auth(self._wire, root, lambda: self._credentials.get(self.name))
            retrying = Retry(auth, self.patience)
            ping: Transport = Retry(self._wire, self.patience) if len(self._bases) == 1 else self._wire
            try:
                answer = ping.send(Request("GET", f"{root}/v2/"))
            except (ConnectionFailed, Untrusted) as error:
                first = error if first is None or isinstance(error, Untrusted) else first
                continue
            drain(answer)
            if answer.status == 400 and parts.scheme == "http" and not last:
                continue  # how Go's servers answer plain http on their TLS port
            if answer.status == 401:
                auth.challenged(answer.headers.get("www-authenticate", ""))
            return base.rstrip("/"), retrying
        assert first is not None, "a registry has at least one URL"
        raise first

    def plain(self) -> Transport:
        """A Transport that adds no credentials, for logging in."""
        return Retry(self._wire, self.patience)

    def repository(self, path: str) -> Repository:
        return Repository(self, path)


@dataclass(frozen=True, slots=True)
class Repository:
    """`path` at `remote`. Every request of the distribution-spec but the ping goes through here."""

    remote: Remote
    path: str
    mirrored: bool = False

    def __str__(self) -> str:
        return f"{self.remote.name}/{self.path}"

    @property
    def full_path(self) -> str:
        """The repository's name as this registry knows it (a mirror may keep it below a prefix)."""
        prefix = urlsplit(self.remote.connection()[0]).path.strip("/")
        return f"{prefix}/{self.path}" if prefix else self.path

    def url(self, path: Callable[..., str], *arguments: str) -> str:
        """The URL of one of `registry.protocol`'s paths here, such as `url(blob_path, digest)`."""
        parts = urlsplit(self.remote.connection()[0])
        return f"{parts.scheme}://{parts.netloc}{path(self.full_path, *arguments)}"

    def scope(self, actions: str) -> str:
        return f"repository:{self.full_path}:{actions}"

    def send(self, request: Request) -> Response:
        """The answer, with a token for the request's scopes; those of a pull here where it names none."""
        if not request.scopes:
            request = replace(request, scopes=(self.scope("pull"),))
        return self.remote.connection()[1].send(request)

    def ask(self, request: Request, what: str, *statuses: int) -> Response:
        """`send`, with every status but `statuses` raised as the error it means; `what` says what was asked for."""
        return expect(self.send(request), request, what, *statuses)


def located(repository: Repository, response: Response, asked: str) -> str:
    """The absolute URL in `Location`, which may be relative or on another host (distribution-spec end-4a)."""
    where = response.headers.get("location")
    if not where:
        raise Misbehaved(f"{repository}: the registry opened an upload without saying where")
    return follow(Request("PATCH", asked), where).url
