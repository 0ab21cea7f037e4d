"""Try again what may pass: connection errors, 429 and 5xx, with exponential back-off and the registry's Retry-After."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field

from core.errors import LamellaError
from registry.client.answers import failure
from registry.client.errors import ConnectionFailed, ServerFailed, worth_retrying
from registry.client.transport import Request, Response, Transport

LONGEST_WAIT = 120.0  # seconds; who asks for more is reported instead


class Cancelled(LamellaError):
    """Another part of the same command failed first; this is never what the user sees."""


@dataclass(slots=True)
class Patience:
    """How often and how long to wait. `cancel` ends every wait at once; `attempts` counts further tries."""

    attempts: int = 5
    backoff: float = 0.25
    limit: float = 30.0
    cancel: threading.Event = field(default_factory=threading.Event)

    def wait(self, attempt: int, error: LamellaError) -> None:
        """Sleep before try number `attempt` + 1 (counted from 0), or raise `error` when it is no use."""
        asked = error.wait if isinstance(error, ServerFailed) else None
        if attempt >= self.attempts or not worth_retrying(error) or (asked or 0) > LONGEST_WAIT:
            raise error
        pause = min(self.backoff * 2**attempt, self.limit) * random.uniform(0.7, 1.3)
        if self.cancel.wait(max(asked or 0, pause)):
            raise Cancelled("cancelled") from error

    def check(self) -> None:
        """Raises Cancelled once the command is given up."""
        if self.cancel.is_set():
            raise Cancelled("cancelled")


class Retry:
    """A Transport that repeats what may be repeated; the last failure is raised, or its answer handed on."""

    def __init__(self, inner: Transport, patience: Patience) -> None:
        self._inner = inner
        self._patience = patience
        self._answered = False

    def send(self, request: Request) -> Response:
        """As the Protocol; an answer of 429 or 5xx is only returned when every try gave one."""
        attempt = 0
        while True:
            self._patience.check()
            try:
                response = self._inner.send(request)
            except (ConnectionFailed, ServerFailed) as error:  # the latter from a token server
                if not request.again or (isinstance(error, ConnectionFailed) and error.refused and not self._answered):
                    raise
                self._patience.wait(attempt, error)
            else:
                self._answered = True
                if not request.again or response.status not in (429, 500, 502, 503, 504):
                    return response
                self._patience.wait(attempt, failure(response, request))
            attempt += 1

    def close(self) -> None:
        self._inner.close()
