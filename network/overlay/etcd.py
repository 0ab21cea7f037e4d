"""etcd's v3 API through its JSON gateway, as far as networks need it: plain HTTP, one connection, any of several servers."""

from __future__ import annotations

import base64
import http.client
import json
import socket
from collections.abc import Iterator, Sequence
from typing import Any

from core.closing import Closing
from core.deadlines import Deadline, timed
from core.errors import Unavailable
from core.value import Value
from network.overlay.settings import Cluster, place_of

_SECONDS = 3.0  # for one whole answer; a healthy etcd takes milliseconds
_MOST = 64 << 20  # bytes of one answer
_UNAUTHENTICATED, _NOT_FOUND, _AWAY = 16, 5, (4, 8, 14)
_BROKEN = (OSError, http.client.HTTPException)


class EtcdAway(Unavailable):
    """No server answers."""

    def __init__(self, urls: Sequence[str], reason: object) -> None:
        super().__init__(
            f"etcd does not answer at {', '.join(urls)}: {reason}",
            "containers that run go on; try again when it is back",
        )


class EtcdRefused(Unavailable):
    """A server answered, and would not. `missing`: there is no such thing, a lease for instance."""

    def __init__(self, text: str, *, missing: bool) -> None:
        super().__init__(f"etcd refuses: {text}", "see `lamella network cluster` and etcd's own log")
        self.missing = missing


class Item(Value):
    """A key with its value. `revision`: when it was last written."""

    key: str
    value: bytes
    revision: int
    lease: int = 0


class Etcd(Closing):
    """Not for several threads. Opens nothing before it is used."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._urls = list(cluster.endpoints)
        self._connection: http.client.HTTPConnection | None = None
        self._token = ""
        self._deadline = Deadline(_SECONDS)

    def close(self) -> None:
        """Harmless to repeat; it can be used again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def call(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """One request and its answer. Whether it was carried out is not known where EtcdAway is raised.

        Raises EtcdAway, EtcdRefused."""
        with self._ask(path, body) as answer:
            try:
                raw = answer.read(_MOST)
            except _BROKEN as error:
                self.close()
                raise EtcdAway(self._urls, error) from error
        return _object(raw)

    def _ask(self, path: str, body: dict[str, Any]) -> http.client.HTTPResponse:
        """The answer, once a server has given a good one."""
        reason: object = "nobody is there"
        for _ in range(2 * len(self._urls)):  # each twice: the connection may be an old one that etcd has left
            try:
                answer = self._send(path, body)
                if answer.status == http.client.OK:
                    return answer
                refusal = _object(answer.read(_MOST))
            except _BROKEN as error:
                reason = error
            else:
                code, text = refusal.get("code"), str(refusal.get("error") or refusal.get("message") or answer.status)
                if code == _UNAUTHENTICATED and self._token:
                    self._token = ""
                elif code not in _AWAY:
                    raise EtcdRefused(text, missing=code == _NOT_FOUND)
                reason = text
            self.close()
            self._urls.append(self._urls.pop(0))
        raise EtcdAway(sorted(self._urls), reason)

    def _send(self, path: str, body: dict[str, Any]) -> http.client.HTTPResponse:
        if self._cluster.user and not self._token:
            who = {"name": self._cluster.user, "password": self._cluster.password}
            answer = self._post("/v3/auth/authenticate", who)
            said = _object(answer.read(_MOST))
            if answer.status != http.client.OK:
                raise EtcdRefused(str(said.get("error") or answer.status), missing=False)
            self._token = str(said.get("token", ""))
        return self._post(path, body)

    def _post(self, path: str, body: dict[str, Any]) -> http.client.HTTPResponse:
        self._deadline.move(_SECONDS)
        if self._connection is None:
            self._connection = self._connect(self._urls[0])
        headers = {"Content-Type": "application/json"} | ({"Authorization": self._token} if self._token else {})
        self._connection.request("POST", path, json.dumps(body, separators=(",", ":")), headers)
        return self._connection.getresponse()

    def _connect(self, url: str) -> http.client.HTTPConnection:
        tls, host, port = place_of(url)
        if not tls:
            return _Timed(host, port, self._deadline)
        import ssl

        context = ssl.create_default_context(cafile=self._cluster.ca or None)
        context.sslsocket_class = timed(ssl.SSLSocket, self._deadline)
        if self._cluster.cert:
            context.load_cert_chain(self._cluster.cert, self._cluster.key or None)
        return http.client.HTTPSConnection(host, port, timeout=_SECONDS, context=context)

    def under(self, prefix: str) -> tuple[list[Item], int]:
        """Everything whose key begins so, and the revision of which that is true."""
        said = self.call("/v3/kv/range", {"key": text64(prefix), "range_end": text64(after(prefix))})
        return [_item(raw) for raw in said.get("kvs", [])], revision_of(said)

    def get(self, key: str) -> Item | None:
        said = self.call("/v3/kv/range", {"key": text64(key)})
        return next((_item(raw) for raw in said.get("kvs", [])), None)

    def commit(self, conditions: Sequence[dict[str, Any]], changes: Sequence[dict[str, Any]]) -> bool:
        """Carry out the changes where all the conditions hold; False where they do not, and nothing was done."""
        said = self.call("/v3/kv/txn", {"compare": list(conditions), "success": list(changes)})
        return bool(said.get("succeeded"))

    def grant(self, seconds: int) -> int:
        """A new lease; its ID."""
        return int(self.call("/v3/lease/grant", {"TTL": str(seconds)})["ID"])

    def renew(self, lease: int) -> bool:
        """False where there is no such lease any more."""
        said = self.call("/v3/lease/keepalive", {"ID": str(lease)}).get("result", {})
        return int(said.get("TTL") or 0) > 0

    def revoke(self, lease: int) -> None:
        """Give the lease up, with all that hangs on it. Harmless to repeat."""
        try:
            self.call("/v3/lease/revoke", {"ID": str(lease)})
        except EtcdRefused as error:
            if not error.missing:
                raise

    def watch(self, prefix: str, revision: int, patience: float) -> Iterator[list[tuple[bool, Item]]]:
        """What changes below `prefix` from `revision` on: whether it is there now, and what it is. Ends by raising EtcdAway: when
        etcd goes, no longer knows that revision, or has said nothing for `patience` seconds."""
        wanted = {"key": text64(prefix), "range_end": text64(after(prefix)), "start_revision": str(revision)}
        answer = self._ask("/v3/watch", {"create_request": wanted})
        try:
            while line := self._line(answer, patience):
                said = _object(line).get("result", {"canceled": True})
                if said.get("canceled"):
                    break
                yield [(one.get("type") != "DELETE", _item(one["kv"])) for one in said.get("events", [])]
        except (*_BROKEN, ValueError, LookupError, TypeError, AttributeError) as error:
            raise EtcdAway(self._urls, error) from error
        finally:
            self.close()
        raise EtcdAway(self._urls, "the watch has ended")

    def _line(self, answer: http.client.HTTPResponse, patience: float) -> bytes:
        self._deadline.move(patience)
        return answer.readline(_MOST)


class _Timed(http.client.HTTPConnection):
    """One on which every answer has to be there at the deadline, as it is then."""

    def __init__(self, host: str, port: int, deadline: Deadline) -> None:
        super().__init__(host, port, timeout=_SECONDS)
        self._timed = timed(socket.socket, deadline)

    def connect(self) -> None:
        super().connect()
        made = self.sock
        self.sock = self._timed(made.family, made.type, made.proto, fileno=made.detach())
        self.sock.settimeout(_SECONDS)


def text64(text: str | bytes) -> str:
    """As the gateway wants keys and values."""
    return base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


def after(prefix: str) -> str:
    """The first key behind all that begin with `prefix`, which ends in a slash."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


def put(key: str, value: bytes | str, lease: int = 0) -> dict[str, Any]:
    """A change for `Etcd.commit`."""
    return {"requestPut": {"key": text64(key), "value": text64(value), "lease": str(lease)}}


def delete(key: str) -> dict[str, Any]:
    """A change for `Etcd.commit`."""
    return {"requestDeleteRange": {"key": text64(key)}}


def absent(key: str) -> dict[str, Any]:
    """A condition for `Etcd.commit`: there is no such key; with a slash at its end: none below it."""
    whole = {"range_end": text64(after(key))} if key.endswith("/") else {}
    return {"key": text64(key), **whole, "target": "CREATE", "create_revision": "0", "result": "EQUAL"}


def present(key: str) -> dict[str, Any]:
    """A condition for `Etcd.commit`."""
    return {"key": text64(key), "target": "CREATE", "create_revision": "0", "result": "GREATER"}


def unchanged(key: str, revision: int) -> dict[str, Any]:
    """A condition for `Etcd.commit`: last written then; 0: never."""
    return {"key": text64(key), "target": "MOD", "mod_revision": str(revision), "result": "EQUAL"}


def revision_of(said: dict[str, Any]) -> int:
    return int(said["header"]["revision"])


def _item(raw: dict[str, Any]) -> Item:
    key = base64.b64decode(raw["key"]).decode(errors="replace")
    return Item(key, base64.b64decode(raw.get("value", "")), int(raw["mod_revision"]), int(raw.get("lease", 0)))


def _object(raw: bytes) -> dict[str, Any]:
    try:
        said = json.loads(raw)
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise EtcdRefused(f"{raw[:80]!r} is no answer of etcd's", missing=False)
    return said
