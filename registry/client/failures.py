"""What `requests`, urllib3 and the socket raise, in our words: what, where, what to do."""

from __future__ import annotations

import errno
import socket
from urllib.parse import urlsplit

from core.errors import LamellaError
from registry.client.errors import ConnectionFailed, Misbehaved, Untrusted, printable

REFUSED_HINT = (
    "check the address and that the registry runs (lamella registry serve starts one); through a proxy, check that too"
)


def translate(error: Exception, url: str) -> LamellaError:
    """The error of ours that `error` is, met while talking to `url`."""
    import requests.exceptions as rq
    import urllib3.exceptions as u3

    if isinstance(error, LamellaError):
        return error
    parts = urlsplit(url)
    where = f"{parts.scheme}://{parts.netloc}"
    if isinstance(error, rq.ProxyError):
        return ConnectionFailed(
            f"cannot reach {where} through the proxy: {_reason(error)}", "check HTTPS_PROXY and NO_PROXY", refused=True
        )
    if isinstance(error, rq.SSLError | u3.SSLError):
        return _tls(error, where, parts.netloc)
    if isinstance(error, rq.ConnectTimeout | rq.ReadTimeout | u3.ReadTimeoutError | TimeoutError):
        return ConnectionFailed(f"{where} did not answer in time", "check the network, or try again later")
    if isinstance(error, rq.InvalidSchema | rq.InvalidURL | rq.MissingSchema | u3.LocationParseError):
        return Misbehaved(f"cannot use the address {url[:200]!r}: {printable(str(error))}")
    return _connection(error, where)


def _tls(error: Exception, where: str, host: str) -> LamellaError:
    why = _reason(error)
    if "WRONG_VERSION_NUMBER" in why or "record layer" in why.lower():
        return Untrusted(f"{where} does not speak TLS", "for a registry without TLS, add --tls-verify=false")
    if any(word in why for word in ("CERTIFICATE_VERIFY_FAILED", "certificate verify", "doesn't match", "hostname")):
        hint = (
            f"put its CA into /etc/docker/certs.d/{host}/ca.crt, or add --tls-verify=false to believe any certificate"
        )
        return Untrusted(f"{where}: the TLS certificate is not trusted: {_brief(why)}", hint)
    if "EOF" in why or "RESET" in why.upper():
        return ConnectionFailed(f"{where} closed the connection: {_brief(why)}", "try again later")
    return Untrusted(f"{where}: TLS failed: {_brief(why)}", "a client certificate may be missing in certs.d")


def _brief(text: str) -> str:
    for mark in ("certificate verify failed: ", "[SSL] ", "] "):
        if mark in text:
            text = text.rpartition(mark)[2]
            break
    return printable(text.partition(" (_ssl.c")[0].rstrip("')"))


def _connection(error: Exception, where: str) -> LamellaError:
    chain = list(_causes(error))
    for cause in chain:
        if isinstance(cause, socket.gaierror) or type(cause).__name__ == "NameResolutionError":
            return ConnectionFailed(
                f"cannot find the host of {where}", "check the name and the network's DNS", refused=True
            )
        if isinstance(cause, OSError) and cause.errno == errno.ECONNREFUSED:
            return ConnectionFailed(f"nothing listens at {where}: connection refused", REFUSED_HINT, refused=True)
        if isinstance(cause, OSError) and cause.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH):
            return ConnectionFailed(f"cannot reach {where}: {cause.strerror}", "check the network", refused=True)
    return ConnectionFailed(f"the connection to {where} broke: {_reason(error)}", "try again later")


def _causes(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    todo: list[object] = [error]
    while todo and len(found) < 20:
        one = todo.pop(0)
        if isinstance(one, BaseException) and one not in found:
            found.append(one)
            todo += [*one.args, getattr(one, "reason", None), one.__cause__, one.__context__]
    return found


def _reason(error: BaseException) -> str:
    innermost = [e for e in _causes(error) if isinstance(e, OSError) and e.strerror] or _causes(error)[-1:]
    return (
        printable(innermost[-1].strerror or str(innermost[-1]))
        if isinstance(innermost[-1], OSError)
        else printable(str(innermost[-1]))
    )
