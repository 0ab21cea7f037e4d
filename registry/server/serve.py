"""Run the registry until it is told to stop: one process, or several below a parent that outlives none of them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import resource
import signal
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from core.errors import Unavailable
from registry.server.app import App
from registry.server.data import open_data
from registry.server.housekeeping import keep_house
from registry.server.listen import Address, answering
from registry.server.policy import Policy
from registry.server.registry import Registry

log = logging.getLogger("lamella.registry")
Ready = Callable[[Address], None]

CONNECTIONS = 4096
BUFFER_BYTES = 1 << 20  # a body comes in pieces of at most so much: each costs a change of threads
LEADER = "housekeeper"
GRACE_SECONDS = 1.0


class Server(Protocol):
    """The part of granian's embedded server that we use."""

    async def serve(self) -> None: ...

    def stop(self) -> None: ...


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """`data`: the registry's own directory, made when missing. `sync` off: a 201 does not wait for the disk. `policy`: what
    is kept, limited and fixed."""

    listen: Address
    data: Path
    workers: int = 1
    sync: bool = True
    policy: Policy = field(default_factory=Policy)


def serve(settings: ServerSettings, ready: Ready) -> None:
    """Serve until SIGTERM or SIGINT. `ready` is called once, when the address answers.

    Raises Conflict where the port is taken, Unavailable where the data or the address cannot be used.
    """
    settings = replace(settings, listen=settings.listen.reserve())
    _open(settings).close()  # complain about the data before anything is started
    _raise_file_limit()
    if settings.workers <= 1:
        asyncio.run(_work(settings, ready))
    else:
        from registry.server.workers import supervise  # ctypes, which one process alone does not need

        supervise(settings.workers, lambda: asyncio.run(_work(settings, None)), lambda: _ready(settings, ready))


def _ready(settings: ServerSettings, ready: Ready) -> None:
    if answering(settings.listen):
        ready(settings.listen)


def _open(settings: ServerSettings) -> Registry:
    return Registry(*open_data(settings.data, sync=settings.sync), settings.policy)


async def _work(settings: ServerSettings, ready: Ready | None) -> None:
    """One worker: granian inside this process, so that nothing is left of it when the process is killed."""
    from granian.constants import HTTPModes, Interfaces
    from granian.http import HTTP1Settings
    from granian.log import LogLevels
    from granian.server.embed import Server as Granian

    registry = _open(settings)
    app = App(registry)
    server: Server = Granian(
        app, address=settings.listen.host, port=settings.listen.port, interface=Interfaces.RSGI,
        http=HTTPModes.http1, http1_settings=HTTP1Settings(max_buffer_size=BUFFER_BYTES), websockets=False, log_enabled=False, log_level=LogLevels.critical, backlog=CONNECTIONS,
        backpressure=CONNECTIONS,
    )  # fmt: skip
    loop, told = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    beside = [loop.create_task(keep_house(registry, settings.data / LEADER))]
    if ready is not None:
        beside.append(loop.create_task(_announce(registry, settings.listen, ready)))
    gc.freeze()
    try:
        await _until(told, server, app)
    finally:
        registry.closing = True
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        registry.close()


async def _until(told: asyncio.Event, server: Server, app: App) -> None:
    """Serve until told to stop; then let requests end, but not for long: an upload goes on with the next process."""
    loop = asyncio.get_running_loop()
    serving, waiting = loop.create_task(server.serve()), loop.create_task(told.wait())
    await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    server.stop()
    await asyncio.wait({serving}, timeout=GRACE_SECONDS)
    await app.abort()
    loop.set_exception_handler(lambda loop, context: log.debug("at the end: %s", context.get("message")))
    if serving.done() and (error := serving.exception()):
        raise Unavailable(f"the server failed: {error}") from error
    if not told.is_set():
        raise Unavailable("the server ended by itself", "its log says why")


async def _announce(registry: Registry, address: Address, ready: Ready) -> None:
    if await registry.do(answering, address):
        ready(address)


def _raise_file_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
