"""Docker's plug-in protocol: other people's programs that answer JSON over HTTP, usually on a unix socket.

A plug-in is found by its name: a socket in `/run/docker/plugins`, or a file in `/etc/docker/plugins` or
`/usr/lib/docker/plugins` that says where it listens. `Plugin.Activate` tells what it implements. What it answers is not
trusted: it has to come in time, be of a decent size and be a JSON object.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.deadlines import Deadline, timed
from core.errors import InvalidInput, LamellaError, NotFound, Unavailable, Unsupported
from core.value import Value

if TYPE_CHECKING:
    from http.client import HTTPConnection

MEDIA_TYPE = "application/vnd.docker.plugins.v1.2+json"
SOCKETS = Path("/run/docker/plugins")
SPECS = (Path("/etc/docker/plugins"), Path("/usr/lib/docker/plugins"))
MAX_ANSWER_BYTES = 4 << 20
MAX_SPEC_BYTES = 64 << 10
SHORT, LONG = 60.0, 120.0  # seconds for what a plug-in does at once, and for what may take it a while
ACTIVATION = 30.0
_NAME = r"[a-zA-Z0-9][a-zA-Z0-9_.:/-]*"


class PluginNotFound(NotFound):
    """Nothing listens under this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f'plugin "{name}" not found', f"start it, so that {SOCKETS}/{name}.sock is there")


class PluginError(LamellaError):
    """The plug-in says in its own words why it did not do it."""


class MethodMissing(Unsupported):
    """The plug-in does not know the method (404)."""


class Plugin(Value):
    """`address` is `unix:///path` or `tcp://host:port`; `tls` are the keys of a spec's TLSConfig, empty for none."""

    name: str
    address: str
    tls: tuple[tuple[str, Any], ...] = ()

    def implements(self) -> tuple[str, ...]:
        """What the plug-in says that it is, such as `VolumeDriver`. Raises as `call`."""
        found = self.call("Plugin.Activate", None, seconds=ACTIVATION).get("Implements")
        return tuple(str(kind) for kind in found) if isinstance(found, list) else ()

    def call(self, method: str, body: dict[str, Any] | None = None, *, seconds: float = SHORT) -> dict[str, Any]:
        """The answer to `method`, which has to be whole after `seconds`.

        Raises PluginError with what the plug-in says against it, MethodMissing, and Unavailable where nobody answers, or
        not in time, or something that is no JSON object.
        """
        connection = _connection(self, Deadline(seconds))
        try:
            data = b"" if body is None else json.dumps(body).encode()
            headers = {"Accept": MEDIA_TYPE, "Content-Type": MEDIA_TYPE, "Host": self.name.replace("/", "_")}
            connection.request("POST", f"/{method}", data, headers)
            response = connection.getresponse()
            raw = _read(response)
        except Exception as error:  # OSError, ValueError, and http.client's own family
            raise self._silent(method, error) from error
        finally:
            connection.close()
        return self._understood(method, response.status, raw)

    def _understood(self, method: str, status: int, raw: bytes) -> dict[str, Any]:
        try:
            answer = json.loads(raw) if raw.strip() else {}
        except (ValueError, RecursionError):
            answer = None
        if status == 404:  # whatever it says of that
            raise MethodMissing(f"the plug-in {self.name} does not know {method}")
        if isinstance(answer, dict) and answer.get("Err"):
            raise PluginError(_line(answer["Err"]), f"the plug-in {self.name} says so")
        if status != 200:
            raise PluginError(f"{method}: {_line(raw.decode(errors='replace')) or f'HTTP status {status}'}")
        if not isinstance(answer, dict):
            raise Unavailable(f"the plug-in {self.name} answers {method} with what is no JSON object")
        return answer

    def _silent(self, method: str, error: Exception) -> Unavailable:
        why = "no answer in time" if isinstance(error, TimeoutError) else getattr(error, "strerror", None) or str(error)
        return Unavailable(
            f"{method} of the plug-in {self.name} at {self.address}: {why}", "see whether the plug-in still runs"
        )


def _line(text: object) -> str:
    """What a plug-in says, as one decent line."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]+", " ", str(text)).strip()[:1000]


def _read(response: Any) -> bytes:
    raw: bytes = response.read(MAX_ANSWER_BYTES + 1)
    if len(raw) > MAX_ANSWER_BYTES:
        raise ValueError(f"its answer is longer than {MAX_ANSWER_BYTES} bytes")
    if response.length:
        raise ValueError("its answer is cut off")
    return raw


def find(name: str, kind: str = "", *, sockets: Path = SOCKETS, specs: Sequence[Path] = SPECS) -> Plugin:
    """The plug-in `name`; with `kind` it must say that it implements that. A socket comes before a file.

    Raises PluginNotFound, InvalidInput for a file that makes no sense, and as `Plugin.call`.
    """
    if not re.fullmatch(_NAME, name) or ".." in name:
        raise PluginNotFound(name)
    plugin = _by_socket(name, sockets) or _by_spec(name, specs)
    if plugin is None:
        raise PluginNotFound(name)
    if kind and kind not in plugin.implements():
        raise NotFound(f"plugin {name} found but it does not implement {kind}", "use another driver")
    return plugin


def _by_socket(name: str, sockets: Path) -> Plugin | None:
    for path in (sockets / f"{name}.sock", sockets / name / f"{name}.sock"):
        if path.is_socket():
            return Plugin(name, f"unix://{path}")
    return None


def _by_spec(name: str, specs: Sequence[Path]) -> Plugin | None:
    for place in specs:
        for stem in (place / name, place / name / name):
            for suffix, parse in ((".spec", _parse_spec), (".json", _parse_json)):
                path = stem.with_name(stem.name + suffix)
                if path.is_file():
                    return parse(name, path)
    return None


def _content(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(MAX_SPEC_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error


def _parse_spec(name: str, path: Path) -> Plugin:
    return Plugin(name, _address(_content(path).strip(), path))


def _parse_json(name: str, path: Path) -> Plugin:
    try:
        data = json.loads(_content(path))
        tls = data.get("TLSConfig") or {}
        return Plugin(name, _address(str(data["Addr"]), path), tuple(sorted(tls.items())))
    except (ValueError, KeyError, AttributeError, RecursionError) as error:
        raise InvalidInput(f"{path} describes no plug-in: {error}", 'write {"Name": …, "Addr": "unix:///…"}') from error


def _address(text: str, path: Path) -> str:
    if not re.fullmatch(r"unix://(localhost)?/.+|(tcp|https?)://[^/:]+:\d{1,5}/?", text):
        raise InvalidInput(f"{path} names no address: {text[:100]!r}", "write unix:///path or tcp://host:port")
    return text.replace("unix://localhost/", "unix:///", 1).rstrip("/")


def names(*, sockets: Path = SOCKETS, specs: Sequence[Path] = SPECS) -> list[str]:
    """The names of all plug-ins that can be found, sorted; whether they live is not asked."""
    found = set(_stems(sockets, (".sock",)))
    for place in specs:
        found |= set(_stems(place, (".spec", ".json")))
    return sorted(found)


def _stems(place: Path, suffixes: tuple[str, ...]) -> Iterator[str]:
    try:
        entries = list(os.scandir(place))
    except OSError:
        return
    for entry in entries:
        stem, suffix = os.path.splitext(entry.name)
        if suffix in suffixes:
            yield stem
        elif any(os.path.exists(f"{entry.path}/{entry.name}{suffix}") for suffix in suffixes):
            yield entry.name


def _connection(plugin: Plugin, end: Deadline) -> HTTPConnection:
    """A connection that no trickle of bytes keeps alive beyond `end`."""
    import socket
    from http.client import HTTPConnection

    class Connection(HTTPConnection):
        def connect(self) -> None:
            kind, _, rest = plugin.address.partition("://")
            family = socket.AF_UNIX if kind == "unix" else socket.AF_INET
            host, _, port = rest.rpartition(":")
            self.sock = timed(socket.socket, end)(family, socket.SOCK_STREAM)
            self.sock.settimeout(end.left())
            self.sock.connect(rest if kind == "unix" else (host, int(port)))
            if plugin.tls or kind == "https":
                self.sock = _secured(self.sock, host, dict(plugin.tls), end)

    return Connection("localhost")


def _secured(sock: Any, host: str, options: dict[str, Any], end: Deadline) -> Any:
    import ssl

    context = ssl.create_default_context(cafile=options.get("CAFile") or None)
    context.sslsocket_class = timed(ssl.SSLSocket, end)
    if options.get("InsecureSkipVerify"):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if options.get("CertFile"):
        context.load_cert_chain(options["CertFile"], options.get("KeyFile"))
    return context.wrap_socket(sock, server_hostname=host)
