"""What `create` does, and the first half of `run`; nothing here needs click (see `cli.quick`)."""

from __future__ import annotations

import os
import sys

from cli.container_flags import make_request
from cli.exit import ENGINE_FAILURE, Exit, report
from cli.settings import Settings
from core.errors import Conflict, InvalidInput, LamellaError, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cli.containers import Workshop
    from core.locks import FileLock
    from runtime.container import Container
    from runtime.request import Request

    Place = tuple[str, FileLock]


def create(settings: Settings, flags: dict[str, Any]) -> None:
    """Make the container and print its ID."""
    from cli.containers import Workshop

    settle_flags(settings, flags)
    try:
        request = make_request(flags, settings.environ, os.getcwd())
    except LamellaError as error:  # as Docker tells flags that make no sense from what cannot be done
        raise Exit(report(error, ENGINE_FAILURE)) from error
    with Workshop(settings) as shop:
        shop.sweep()
        container, lock = create_container(shop, request, flags)
        lock.release()
        sys.stdout.write(f"{container.id}\n")


def settle_flags(settings: Settings, flags: dict[str, Any]) -> None:
    """Choose the network where none is named. Raises InvalidInput or Conflict for what cannot be, before anything is made."""
    if flags.get("detach") and flags["attach"]:
        raise Conflict("Conflicting options: -a and -d")
    if flags["tty"] and flags["interactive"] and not flags.get("detach") and not os.isatty(0) and "detach" in flags:
        raise InvalidInput("the input device is not a TTY", "leave out -t, or run it in a terminal")
    if flags["cidfile"] and os.path.exists(flags["cidfile"]):
        raise Conflict(
            f"container ID file found, make sure the other container isn't running or delete {flags['cidfile']}"
        )
    from cli.default_network import asked_networks

    flags["network"] = asked_networks(settings, flags)


def create_container(
    shop: Workshop, request: Request, flags: dict[str, Any], *, running: bool = False, where: Place | None = None
) -> tuple[Container, FileLock]:
    """The container and its lock; the image is pulled as `--pull` says. See `Containers.create` for the rest."""
    from images.resolve import ImageNotFound

    if flags["pull"] == "always":
        _pull(shop, request.image_name, quiet=flags["quiet"])
    try:
        created = _make(shop, request, running, where)
    except ImageNotFound as missing:
        if flags["pull"] == "never":
            raise NotFound(f"no such image: {request.image_name}", "pull it, or leave out --pull never") from missing
        if not flags["quiet"]:
            sys.stderr.write(f"Unable to find image '{missing.text}' locally\n")
        _pull(shop, request.image_name, quiet=flags["quiet"])
        created = _make(shop, request, running, where)
    if flags["cidfile"]:
        with open(flags["cidfile"], "x", encoding="ascii") as file:
            file.write(created[0].id)
    return created


def _make(shop: Workshop, request: Request, running: bool, where: Place | None) -> tuple[Container, FileLock]:
    return shop.containers.create(request, lambda: shop.image(request.image_name), running=running, where=where)


def _pull(shop: Workshop, name: str, *, quiet: bool) -> None:
    import contextlib

    from cli.transfer import shown
    from cli.wiring import open_client, open_layers
    from image.reference import Reference

    # Docker tells a pull's progress on stderr here: stdout is the container's.
    with (
        contextlib.redirect_stdout(sys.stderr),
        shown(quiet) as progress,
        open_client(shop.settings, progress) as client,
    ):
        client.pull(Reference.parse(name).tagged(), shop.store, open_layers(shop.store))
