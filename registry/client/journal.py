"""A Transport that logs every request and answer (`--debug`), credentials and query strings left out."""

from __future__ import annotations

import logging
import time

from registry.client.transport import Request, Response, Transport

log = logging.getLogger(__name__)


class Journal:
    """Wraps the innermost Transport, so that retries, redirects and token requests show as well."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner

    def send(self, request: Request) -> Response:
        """As the Protocol."""
        start = time.monotonic()
        where = request.url.partition("?")[0]
        try:
            response = self._inner.send(request)
        except Exception as error:
            log.debug("%s %s: %s", request.method, where, error)
            raise
        log.debug("%s %s: %d in %.0f ms", request.method, where, response.status, (time.monotonic() - start) * 1000)
        return response

    def close(self) -> None:
        self._inner.close()
