"""`lamella import`, also `lamella image import`."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from core.errors import InvalidInput, NotFound, Unavailable

if TYPE_CHECKING:
    import requests

    from cli.settings import Settings
    from image.reference import Reference
    from layer.pipeline import Readable

_TIMEOUT_SECONDS = 60


@click.command("import", short_help="Make an image of a root file system's tar")
@click.argument("source", metavar="FILE|URL|-")
@click.argument("name", metavar="[REPOSITORY[:TAG]]", required=False)
@click.option(
    "-c", "--change", "changes", multiple=True, metavar="INSTRUCTION",
    help="Set up the image by a Dockerfile instruction: CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD,"
    " STOPSIGNAL, USER, VOLUME or WORKDIR (repeatable).",
)  # fmt: skip
@click.option("-m", "--message", metavar="TEXT", help="A comment for the image's history.")
@click.option("--platform", metavar="OS/ARCH", help="What the image is for  [default: this machine].")
@click.option("-q", "--quiet", is_flag=True, hidden=True)
@click.pass_obj
def import_(
    settings: Settings, source: str, name: str | None, changes: tuple[str, ...], message: str | None,
    platform: str | None, quiet: bool,
) -> None:  # fmt: skip
    """Make an image with one layer of a tar, compressed or not, and print its ID.

    \b
    Examples:
      lamella import rootfs.tar.xz base:1
      debootstrap --variant=minbase bookworm r && tar -C r -c . | lamella import - debian
      lamella import -c 'CMD ["/bin/sh"]' https://example.org/rootfs.tar.gz tiny
    """
    import time

    from builder.change import changed
    from cli.wiring import open_layers, open_store
    from core.clock import format_instant
    from image.config import ContainerConfig
    from image.platform import Platform, host_platform
    from image.reference import Reference
    from images.importing import Wish, import_tar

    wish = Wish(
        format_instant(time.time_ns()), changed(ContainerConfig(), changes), f"Imported from {source}" if message is None else message,
        Platform.parse(platform) if platform else host_platform(), (_name(Reference.parse(name)),) if name else (),
    )  # fmt: skip
    with opened(source) as stream, open_store(settings) as store:
        click.echo(import_tar(store, open_layers(store), stream, wish).id)


def _name(reference: Reference) -> Reference:
    if reference.digest:
        raise InvalidInput(f"cannot import to digest reference {reference.familiar}", "leave the @sha256:… away")
    return reference.tagged()


@contextlib.contextmanager
def opened(source: str) -> Iterator[Readable]:
    """The bytes of a file, a URL or stdin (`-`). Raises NotFound, InvalidInput, Unavailable."""
    if source == "-":
        if sys.stdin.isatty():
            raise InvalidInput("cowardly refusing to read a tar from a terminal", "redirect, or name a file")
        with open(0, "rb", buffering=0, closefd=False) as stdin:
            yield stdin
    elif source.startswith(("http://", "https://")):
        with _fetched(source) as stream:
            yield stream
    else:
        try:
            file = open(source, "rb", buffering=0)
        except FileNotFoundError as error:
            raise NotFound(f"no such file: {source}", "name a file, a URL, or - for stdin") from error
        with file:
            yield file


@contextlib.contextmanager
def _fetched(url: str) -> Iterator[Readable]:
    import requests

    try:
        with requests.get(url, stream=True, timeout=_TIMEOUT_SECONDS) as response:
            response.raise_for_status()
            yield _Body(response, url)
    except requests.RequestException as error:
        raise Unavailable(f"cannot fetch {url}: {error}", "check the address and try again") from error


class _Body:
    """A Readable over an HTTP answer. Raises Unavailable where it breaks off."""

    def __init__(self, response: requests.Response, url: str) -> None:
        self._raw = response.raw
        self._url = url

    def read(self, n: int = -1, /) -> bytes:
        from urllib3.exceptions import HTTPError

        try:
            return bytes(self._raw.read(n if n >= 0 else None))
        except HTTPError as error:
            raise Unavailable(f"{self._url} broke off: {error}", "try again") from error
