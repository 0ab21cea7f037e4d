"""The RSGI application: a path leads to a handler, an answer or an error to the client."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from registry.protocol import API_VERSION, Code, Kind, Route, parse_path
from registry.server import blobs, listings, manifests, uploads
from registry.server.answers import Answer
from registry.server.cache import AnswerCache, Ready
from registry.server.errors import ApiError, translate
from registry.server.registry import Registry
from registry.server.request import Exchange, Request, Scope
from registry.server.sending import LARGE_BYTES, Senders

log = logging.getLogger("lamella.registry")
Handler = Callable[[Registry, Request], Awaitable[Answer]]
JSON = ("content-type", "application/json")


async def _ping(registry: Registry, request: Request) -> Answer:
    return Answer(200, [JSON, API_VERSION], b"{}")


HANDLERS: dict[Kind, dict[str, Handler]] = {
    Kind.BASE: {"GET": _ping},
    Kind.CATALOG: {"GET": listings.catalog},
    Kind.TAGS: {"GET": listings.tags},
    Kind.REFERRERS: {"GET": listings.referrers},
    Kind.MANIFESTS: {"GET": manifests.get, "PUT": manifests.put, "DELETE": manifests.delete},
    Kind.BLOBS: {"GET": blobs.get, "DELETE": blobs.delete},
    Kind.UPLOADS: {
        "GET": uploads.get, "POST": uploads.post, "PATCH": uploads.patch, "PUT": uploads.put, "DELETE": uploads.delete,
    },
}  # fmt: skip


class App:
    """What granian calls for each request. Everything here runs on the event loop's thread."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._cache = AnswerCache(registry.metadata.version)
        self._senders = Senders()
        self._running: set[asyncio.Task[object]] = set()

    async def __rsgi__(self, scope: Scope, exchange: Exchange) -> None:
        """Answer one request. The first lines are the way of nearly all of them: read again what was read before."""
        method = scope.method
        if method == "GET" or method == "HEAD":
            ready = self._cache.find(scope.path)
            if ready is not None:
                headers = scope.headers
                if "range" not in headers and "if-none-match" not in headers:
                    if method == "GET":
                        exchange.response_bytes(200, ready.headers, ready.body)
                    else:
                        exchange.response_empty(200, ready.headers)
                    return
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            await self._answer(scope, exchange)
        finally:
            self._running.discard(task)

    async def abort(self) -> None:
        """Cancel what is still being answered, and wait until its uploads are let go."""
        self._senders.end()
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _answer(self, scope: Scope, exchange: Exchange) -> None:
        request: Request | None = None
        try:
            request = Request(scope, exchange, _route(scope))
            answer = await _handler(request)(self._registry, request)
            if answer.keep:
                self._keep(scope.path, answer)
            if _matches(request, answer):
                answer = Answer(304, [h for h in answer.headers if h[0] != "content-type"])
        except Exception as error:
            answer = _failed(error, scope)
            if request is not None:
                await _drain(request)
        await self._send(scope, exchange, answer)

    async def _send(self, scope: Scope, exchange: Exchange, answer: Answer) -> None:
        headers, body = answer.headers, answer.body
        if answer.status not in (204, 304):
            headers = [*headers, ("content-length", str(len(body)))]
        if scope.method == "HEAD" or not body:
            exchange.response_empty(answer.status, headers)
        elif isinstance(body, bytes):
            exchange.response_bytes(answer.status, headers, body)
        elif len(body) >= LARGE_BYTES and await self._senders.send(scope, answer.status, headers, body):
            exchange.response_empty(200, [])  # into a connection that is shut
        elif len(body) == body.size:
            exchange.response_file(answer.status, headers, str(body.path))
        else:
            exchange.response_file_range(answer.status, headers, str(body.path), body.start, body.end)

    def _keep(self, path: str, answer: Answer) -> None:
        assert isinstance(answer.body, bytes)
        etag = dict(answer.headers).get("etag", "")
        headers = [*answer.headers, ("content-length", str(len(answer.body)))]
        self._cache.keep(path, Ready(headers, answer.body, etag))


def _route(scope: Scope) -> Route:
    route = parse_path(scope.path) if scope.proto == "http" else None
    if route is None:
        raise ApiError(404, Code.UNSUPPORTED, "no such route")
    return route


def _handler(request: Request) -> Handler:
    """HEAD is GET without a body. An upload is opened without an id, and addressed with one."""
    methods = HANDLERS[request.route.kind]
    if request.route.kind is Kind.UPLOADS:
        methods = {m: h for m, h in methods.items() if (m == "POST") == (not request.route.reference)}
    handler = methods.get("GET" if request.method == "HEAD" else request.method)
    if handler is None:
        allow = ", ".join([*methods, "HEAD"] if "GET" in methods else methods)
        raise ApiError(405, Code.UNSUPPORTED, "the method is not supported here", headers=[("allow", allow)])
    return handler


def _matches(request: Request, answer: Answer) -> bool:
    """Whether the client has it already (If-None-Match, RFC 9110, 13.1.2)."""
    wanted = request.headers.get("if-none-match") if answer.status == 200 else None
    if not wanted or request.method not in ("GET", "HEAD"):
        return False
    etag = dict(answer.headers).get("etag")
    names = [name.strip().removeprefix("W/") for name in wanted.split(",")]
    return etag is not None and (etag in names or "*" in names)


def _failed(error: Exception, scope: Scope) -> Answer:
    told = translate(error)
    if told is None:
        log.exception("%s %s failed", scope.method, scope.path)
        told = ApiError(500, Code.UNKNOWN, "the registry failed; its log says why")
    elif told.status >= 500:
        log.error("%s %s: %s", scope.method, scope.path, error)
    return Answer(told.status, [JSON, API_VERSION, *told.headers], told.body())


async def _drain(request: Request) -> None:
    try:
        await request.drain()
    except (Exception, asyncio.CancelledError):
        log.debug("the client of a refused request is gone")
