"""The innermost Transport: `requests`' connection pool, with our own TLS rules and none of its conveniences.

A `requests.Session` would read netrc over our tokens, follow redirects and load their bodies, and look at the
environment, so requests are handed to its adapter directly.
"""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from registry.client import tls
from registry.client.errors import ConnectionFailed, Misbehaved, Untrusted
from registry.client.failures import translate
from registry.client.proxies import proxy_for
from registry.client.settings import ClientSettings
from registry.client.transport import Body, Request, origin

if TYPE_CHECKING:
    import requests
    from requests.adapters import HTTPAdapter

COMMIT_FACTOR = 10


class HttpResponse:
    """A `requests` answer behind our Protocol."""

    def __init__(self, inner: requests.Response) -> None:
        self._inner = inner
        self.status = inner.status_code
        self.headers: Mapping[str, str] = {k.lower(): v for k, v in inner.headers.items()}
        self.url = inner.url

    def read(self, amount: int) -> bytes:
        """As the Protocol."""
        try:
            return bytes(self._inner.raw.read(amount, decode_content=False) or b"")
        except Exception as error:
            self.close()
            raise translate(error, self.url) from error

    def close(self) -> None:
        """As the Protocol. A connection with an unread body is not used again."""
        with contextlib.suppress(Exception):
            self._inner.close()


class Http:
    """A Transport over TCP and TLS, direct or through a proxy. Connections are kept and shared by all threads."""

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._adapters: dict[tuple[str, int], HTTPAdapter] = {}

    def send(self, request: Request) -> HttpResponse:
        """As the Protocol."""
        adapter = self._adapter(request.url)
        settings = self._settings
        proxy = proxy_for(request.url, settings.proxies, settings.no_proxy)
        try:
            answer = adapter.send(
                _prepare(request, settings.user_agent), stream=True, verify=self._verifies(request.url),
                timeout=(settings.connect_timeout, self._patience(request)), proxies=proxy,
            )  # fmt: skip
        except (ConnectionFailed, Untrusted, Misbehaved):
            raise
        except Exception as error:
            raise translate(error, request.url) from error
        return HttpResponse(answer)

    def _patience(self, request: Request) -> float:
        # A registry may copy a large blob to its final place before it answers.
        return self._settings.read_timeout * (COMMIT_FACTOR if request.method in ("PUT", "PATCH") else 1)

    def _verifies(self, url: str) -> bool:
        _, host, port = origin(url)
        return self._settings.tls_verify and not {host, f"{host}:{port}"} & self._settings.insecure

    def _adapter(self, url: str) -> HTTPAdapter:
        scheme, host, port = origin(url)
        key = (host, port) if scheme == "https" else ("", 0)
        with self._lock:
            if key not in self._adapters:
                self._adapters[key] = _adapter(self._context(url) if scheme == "https" else None)
            return self._adapters[key]

    def _context(self, url: str) -> ssl.SSLContext:
        _, host, port = origin(url)
        names = [f"{host}:{port}", *([host] if port == 443 else [])]
        if host == "registry-1.docker.io":
            names.append("docker.io")
        return tls.context(self._settings.certs_dirs, names, verify=self._verifies(url))

    def close(self) -> None:
        """As the Protocol."""
        with self._lock:
            while self._adapters:
                self._adapters.popitem()[1].close()


def _adapter(context: ssl.SSLContext | None) -> HTTPAdapter:
    from requests.adapters import HTTPAdapter

    if context is not None and context.verify_mode == ssl.CERT_NONE:
        import urllib3

        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)  # the user asked for it

    class Adapter(HTTPAdapter):
        """Believes the context we made and nothing beside it."""

        def init_poolmanager(self, *args: Any, **options: Any) -> None:
            super().init_poolmanager(*args, **options, ssl_context=context)

        def proxy_manager_for(self, proxy: Any, **options: Any) -> Any:
            return super().proxy_manager_for(proxy, **options, ssl_context=context)

        def cert_verify(self, *_: Any) -> None:
            """The context knows its authorities; certifi's list is not added to them."""

    return Adapter(pool_connections=8, pool_maxsize=16, max_retries=0)


def _prepare(request: Request, user_agent: str) -> requests.PreparedRequest:
    import requests

    prepared = requests.PreparedRequest()
    prepared.prepare_method(request.method)
    prepared.prepare_url(request.url, None)
    prepared.prepare_headers({"User-Agent": user_agent, "Accept-Encoding": "identity", **request.headers})
    prepared.prepare_cookies({})
    prepared.hooks = {}
    if request.body is not None:
        _attach(prepared, request.body)
    elif request.method in ("POST", "PUT", "PATCH"):
        prepared.headers["Content-Length"] = "0"
    return prepared


def _attach(prepared: requests.PreparedRequest, body: Body) -> None:
    if body.size is None:
        prepared.headers["Transfer-Encoding"] = "chunked"
    else:
        prepared.headers["Content-Length"] = str(body.size)
    prepared.body = None if body.size == 0 else _chunks(body)  # type: ignore[assignment]


def _chunks(body: Body) -> Iterator[bytes | memoryview]:
    yield from body.open()
