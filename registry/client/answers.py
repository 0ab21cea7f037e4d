"""From an answer's status to our errors: the one place that reads a registry's error bodies (distribution-spec "Error Codes")."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from core.errors import LamellaError
from registry.client.errors import ConnectionFailed, Denied, Refused, ServerFailed, Unknown, printable
from registry.client.transport import ERROR_BYTES, Request, Response


def expect(response: Response, request: Request, what: str, *statuses: int) -> Response:
    """`response` itself where its status is one of `statuses`; raises the error it means otherwise.

    `what` says in a few words what was asked for, such as `the manifest of localhost:5000/app:1`.
    """
    if response.status in statuses:
        return response
    raise failure(response, request, what)


def failure(response: Response, request: Request, what: str = "") -> LamellaError:
    """The error that `response` means; closes it."""
    status, host = response.status, urlsplit(request.url).netloc
    said = _said(response)
    subject = f"{what or request.method + ' ' + urlsplit(request.url).path}: {host}"
    detail = f" ({said})" if said else ""
    if status in (401, 403):
        word = "asks for credentials" if status == 401 else "denies access"
        hint = f"run 'lamella login {host}', and check that the name is right and that you may do this"
        return Denied(f"{subject} {word}{detail}", hint, status=status)
    if status == 404:
        return Unknown(f"{subject} does not have it{detail}", "check the name and the tag, or log in")
    if status == 429:
        hint = "log in for a higher limit, or try again later"
        return ServerFailed(f"{subject} says too many requests{detail}", hint, status=status, wait=_wait(response))
    if status >= 500:
        hint = "try again later, or look at the registry's log"
        return ServerFailed(f"{subject} failed with {status}{detail}", hint, status=status, wait=_wait(response))
    return Refused(f"{subject} answered {status}{detail}", status=status)


def _said(response: Response) -> str:
    """The code and message of the first error in the body, or the start of its text."""
    text = ""
    with contextlib.suppress(ConnectionFailed):
        while len(text) < ERROR_BYTES and (chunk := response.read(ERROR_BYTES)):
            text += chunk.decode("utf-8", "replace")
    response.close()
    try:
        data = json.loads(text)
        first = data["errors"][0]
        parts = [str(first.get("code") or ""), str(first.get("message") or "")]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return "" if "<" in text[:200] else printable(text)
    return printable(": ".join(filter(None, parts)))


def _wait(response: Response) -> float | None:
    """Seconds in Retry-After, which is a number or a date (RFC 9110, 10.2.3)."""
    text = response.headers.get("retry-after", "").strip()
    if text.isdigit():
        return float(text[:9])
    try:
        then = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (then.replace(tzinfo=then.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
