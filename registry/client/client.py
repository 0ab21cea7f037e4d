"""The registry client as the rest of the house sees it: resolve, pull, push, log in (distribution-spec 1.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.progress import Progress, Silent
from image.descriptor import Descriptor
from image.platform import Platform
from image.reference import Reference
from registry.client.settings import ClientSettings

if TYPE_CHECKING:
    from registry.client.resolve import Resolved
    from snapshot.layers import Layers
    from store.images import Image
    from store.store import Store


@dataclass(frozen=True, slots=True)
class Pulled:
    """`target` is what the name points to (index or manifest); `updated` is False where all of it was here already."""

    image: Image
    target: Descriptor
    updated: bool


class Client:
    """Talks to any number of registries; safe for several threads. Opens no connection before it is asked for something."""

    def __init__(self, settings: ClientSettings | None = None, progress: Progress | None = None) -> None:
        self.settings = settings or ClientSettings()
        self.progress: Progress = progress or Silent()

    def resolve(self, reference: Reference, platform: Platform | None = None) -> Resolved:
        """What `reference` is there now: its target, and the manifest and config for `platform` (this machine's).

        Raises NotFound, Denied, Unavailable, Integrity, Unsupported. Stores nothing.
        """
        raise AssertionError

    def pull(self, reference: Reference, store: Store, layers: Layers, *, platform: Platform | None = None) -> Image:
        """Download what is missing of `reference` and name it in `store`. Harmless to repeat; see `pull.pull`."""
        return self.download(reference, store, layers, platform=platform).image

    def download(
        self, reference: Reference, store: Store, layers: Layers, *, platform: Platform | None = None
    ) -> Pulled:
        """As `pull`, and tells what happened."""
        raise AssertionError

    def push(
        self, image: Image, reference: Reference, store: Store, layers: Layers, *, compression: str = "gzip"
    ) -> Descriptor:
        """Upload what `reference`'s registry lacks of `image` and point the tag to it; returns the manifest's descriptor.

        `compression` (`gzip`, `zstd`) is for layers that were never sent. Harmless to repeat; see `push.push`.
        """
        raise AssertionError

    def tags(self, reference: Reference) -> list[str]:
        """Every tag of the repository, as the registry orders them."""
        raise AssertionError

    def login(self, registry: str, user: str, password: str) -> str:
        """Check the credentials with `registry` and remember them; returns where they are kept. Raises Denied."""
        raise AssertionError

    def logout(self, registry: str) -> bool:
        """Forget the credentials for `registry`; False where there were none."""
        raise AssertionError

    def close(self) -> None:
        """Close every connection. Harmless to repeat."""
