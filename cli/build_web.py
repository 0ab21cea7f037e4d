"""What a build may know of the world outside: the registry client's way onto the web, git's environment, secrets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from builder.sources.web import MAX_BYTES, Outside
from core.errors import InvalidInput, LamellaError, Unavailable

if TYPE_CHECKING:
    from builder.request import Agent
    from cli.settings import Settings
    from registry.client.settings import ClientSettings
    from registry.client.transport import Response, Transport

# Of the user's environment: where programs and keys are, and the proxies. Nothing that steers git itself.
_FOR_GIT = ("PATH", "HOME", "SSH_AUTH_SOCK")
_CERTIFICATES = {
    "SSL_CERT_FILE": "GIT_SSL_CAINFO",
    "SSL_CERT_DIR": "GIT_SSL_CAPATH",
}  # git has names of its own for them
LIMIT = "LAMELLA_FETCH_LIMIT"
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


def outside(
    settings: Settings, secret: Callable[[str], bytes | None] = lambda name: None, agent: Agent | None = None
) -> Outside:
    """The world as the environment and the machine's files describe it. Opens and loads nothing before it is used."""
    environ = settings.environ
    kept = {*_FOR_GIT, *_PROXIES, *(name.upper() for name in _PROXIES)}
    variables = {name: environ[name] for name in sorted(kept & environ.keys())}
    variables |= {name: environ[ours] for ours, name in _CERTIFICATES.items() if ours in environ}
    return Outside(lambda: _open(settings), variables, secret, _limit(environ.get(LIMIT, "")), agent)


def _limit(text: str) -> int:
    from core.units import parse_size

    try:
        return parse_size(text) if text else MAX_BYTES
    except LamellaError as error:
        raise InvalidInput(f"{LIMIT}: {error.message}", error.hint) from None


def _open(settings: Settings) -> ClientWeb:
    from cli.client import client_settings

    return ClientWeb(client_settings(settings))


class ClientWeb:
    """A `builder.sources.web.Web` of the registry client's transports: its pools, TLS rules, proxies, redirects, retries."""

    def __init__(self, settings: ClientSettings) -> None:
        from registry.client.http import Http
        from registry.client.redirects import Redirects
        from registry.client.retry import Patience, Retry

        patience = Patience(settings.retries, settings.backoff, settings.backoff_limit)
        self._transport: Transport = Redirects(Retry(Http(settings), patience))

    def get(self, url: str, headers: Mapping[str, str]) -> ClientAnswer:
        """See Web."""
        from registry.client.transport import Request

        with _in_our_words():
            return ClientAnswer(self._transport.send(Request("GET", url, headers)))

    def close(self) -> None:
        """See Web."""
        self._transport.close()


class ClientAnswer:
    """A `builder.sources.web.Answer`."""

    def __init__(self, response: Response) -> None:
        self._response = response
        self.status = response.status
        self.headers = response.headers

    def read(self, amount: int) -> bytes:
        """See Answer."""
        with _in_our_words():
            return self._response.read(amount)

    def close(self) -> None:
        """See Answer."""
        self._response.close()


@contextmanager
def _in_our_words() -> Iterator[None]:
    """The client's errors speak of registries and of logging in to them."""
    try:
        yield
    except LamellaError as error:
        message = error.message.replace("the registry or a proxy", "the server or a proxy").replace(
            "the registry", "it"
        )
        raise Unavailable(message, "check the address and the network; HTTPS_PROXY and NO_PROXY count") from error
