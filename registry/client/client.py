"""The registry client as the rest of the house sees it: resolve, pull, push, log in (distribution-spec 1.1)."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from core.closing import Closing
from core.progress import Progress, Silent
from image.descriptor import Descriptor
from image.platform import Platform
from image.reference import DEFAULT_REGISTRY, Reference
from registry.client.settings import ClientSettings

if TYPE_CHECKING:
    from registry.client.credentials import Credentials
    from registry.client.pull import Pulled
    from registry.client.remote import Remote, Repository
    from registry.client.resolve import Resolved
    from registry.client.retry import Patience
    from registry.client.transport import Transport
    from snapshot.layers import Layers
    from store.images import Image
    from store.store import Store


class Client(Closing):
    """Talks to any number of registries; safe for several threads. Opens no connection before it is asked for something.

    As a context manager it closes itself.
    """

    def __init__(self, settings: ClientSettings | None = None, progress: Progress | None = None) -> None:
        self.settings = settings or ClientSettings()
        self.progress: Progress = progress or Silent()
        self._wire: Transport | None = None
        self._lock = threading.Lock()

    def resolve(
        self, reference: Reference, platform: Platform | None = None, *, store: Store | None = None
    ) -> Resolved:
        """What `reference` is there now: its target, and the manifest and config for `platform` (this machine's).

        Blobs that `store` has are not fetched again; nothing is stored. Raises NotFound, Denied, Unavailable, Integrity,
        Unsupported.
        """
        from registry.client.resolve import CONFIG_BYTES, resolve
        from store.blobs import BlobDamaged

        def local(blob: Descriptor) -> bytes | None:
            if store is None or blob.size > CONFIG_BYTES or store.blobs.stat(blob.digest) != blob.size:
                return None
            try:
                return store.blobs.read(blob.digest, CONFIG_BYTES)
            except BlobDamaged:
                return None  # the registry's will take its place

        return resolve(reference, self._sources(reference, self._patience()), platform, local)

    def pull(self, reference: Reference, store: Store, layers: Layers, *, platform: Platform | None = None) -> Image:
        """Download what is missing of `reference` and name it in `store`. Harmless to repeat. Raises as `resolve`.

        Durable when this returns; killed before, the store is as it was but for garbage.
        """
        return self.download(reference, store, layers, platform=platform).image

    def download(
        self, reference: Reference, store: Store, layers: Layers, *, platform: Platform | None = None
    ) -> Pulled:
        """As `pull`, and tells what happened."""
        return self.fetch(self.resolve(reference, platform, store=store), store, layers)

    def fetch(self, found: Resolved, store: Store, layers: Layers) -> Pulled:
        """The second half of `download`, for what `resolve` found a moment ago."""
        from registry.client.pull import Pull

        cancel = found.sources[0].remote.patience.cancel
        return Pull(found, store, layers, self.progress, cancel, self.settings.parallel).run()

    def push(
        self, image: Image, reference: Reference, store: Store, layers: Layers, *, compression: str = "gzip"
    ) -> Descriptor:
        """Upload what `reference`'s registry lacks of `image` and point the tag to it; returns the manifest's descriptor.

        `compression` (`gzip`, `zstd`) is for layers that were never sent. Harmless to repeat. Raises Denied, Unavailable,
        and Integrity for a damaged layer, which is not shipped.
        """
        from registry.client.push import Push
        from registry.client.upload import Target

        patience = self._patience()
        target = Target(self._remote(reference.registry, patience).repository(reference.path))
        return Push(
            image, reference, target, store, layers, self.progress, patience.cancel, self.settings.parallel, compression
        ).run()

    def repository(self, reference: Reference) -> Repository:
        """The repository of `reference` at its own registry, for who speaks the protocol himself (`image cp`)."""
        return self._remote(reference.registry, self._patience()).repository(reference.path)

    def tags(self, reference: Reference) -> list[str]:
        """Every tag of the repository, as the registry orders them."""
        from registry.client.listing import tags

        return tags(self._remote(reference.registry, self._patience()).repository(reference.path))

    def login(self, registry: str, user: str, password: str) -> str:
        """Check the credentials with `registry` and remember them; returns where they are kept. Raises Denied."""
        from registry.client.login import login

        remote = self._remote(registry or DEFAULT_REGISTRY, self._patience())
        return login(remote, self._credentials(), user, password)

    def logout(self, registry: str) -> bool:
        """Forget the credentials for `registry`; False where there were none."""
        return self._credentials().erase(registry or DEFAULT_REGISTRY)

    def close(self) -> None:
        """Close every connection. Harmless to repeat."""
        with self._lock:
            if self._wire is not None:
                self._wire.close()
                self._wire = None

    def _sources(self, reference: Reference, patience: Patience) -> list[Repository]:
        """Where `reference` is looked for: the registry's mirrors, then the registry itself."""
        from registry.client.remote import Repository

        origin = Repository(self._remote(reference.registry, patience), reference.path)
        mirrors = [
            Repository(self._mirror(url, patience), reference.path, mirrored=True)
            for url in self.settings.mirrors.get(reference.registry, ())
        ]
        return [*mirrors, origin]

    def _patience(self) -> Patience:
        from registry.client.retry import Patience

        settings = self.settings
        return Patience(settings.retries, settings.backoff, settings.backoff_limit)

    def _remote(self, registry: str, patience: Patience) -> Remote:
        from registry.client.remote import Remote, bases_of

        bases = bases_of(registry, self.settings)
        return Remote(registry, bases, self._transport(), self._credentials(), patience)

    def _mirror(self, url: str, patience: Patience) -> Remote:
        from registry.client.remote import Remote, bases_of

        if "://" in url:
            return Remote(urlsplit(url).netloc, (url,), self._transport(), self._credentials(), patience)
        host, _, path = url.partition("/")
        bases = [f"{base}/{path}" if path else base for base in bases_of(host, self.settings)]
        return Remote(host, bases, self._transport(), self._credentials(), patience)

    def _transport(self) -> Transport:
        from registry.client.http import Http
        from registry.client.journal import Journal

        with self._lock:
            if self._wire is None:
                self._wire = Journal(Http(self.settings))
            return self._wire

    def _credentials(self) -> Credentials:
        from registry.client.credentials import Credentials

        return Credentials(self.settings.config_path)
