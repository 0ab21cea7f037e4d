"""Push: every blob is asked for each time, what is missing is sent in parallel, the manifest comes last.

A manifest that was pulled goes out with its very bytes as long as all of its blobs can be had; otherwise, and for local
builds, the manifest is made here (OCI media types) and is the same each time.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from core.errors import InvalidInput, NotFound, Unsupported
from core.progress import Progress
from image.descriptor import Descriptor
from image.digest import DiffID, Digest
from image.manifest import MAX_BYTES, Manifest, parse_any
from image.media_types import OCI_CONFIG
from image.reference import Reference
from registry.client.errors import Refused, Unknown, WrongBytes, printable
from registry.client.layer_out import OCI_TYPES, LayerOut, as_oci
from registry.client.parallel import run_all
from registry.client.sources import Bytes
from registry.client.transport import Body, Request, drain
from registry.client.upload import PUSH, Target
from registry.protocol import DIGEST_HEADER, Code, manifest_path
from store.events import note
from store.layers import refuse_damaged

if TYPE_CHECKING:
    from snapshot.layers import Layers
    from store.images import Image
    from store.layers import Layer
    from store.leases import Lease
    from store.store import Store


class Push:
    """One push of one image."""

    def __init__(
        self, image: Image, reference: Reference, target: Target, store: Store, layers: Layers, progress: Progress,
        cancel: threading.Event, width: int, compression: str,
    ) -> None:  # fmt: skip
        if compression not in OCI_TYPES:
            raise InvalidInput(f"unknown compression {compression!r}", "choose gzip, zstd or none")
        self._image = image
        self._reference = reference.tagged()
        self._target = target
        self._store = store
        self._progress = progress
        self._cancel = cancel
        self._width = width
        self._out = LayerOut(target, self._reference, store, layers, compression)

    def run(self) -> Descriptor:
        """The descriptor of the manifest that the tag points to now. Harmless to repeat."""
        with self._store.leases.take("push") as lease:
            self._hold(lease)
            manifest = self._send()
            if self._put(manifest, again=False):
                # A collector was there between our question and the manifest: ask once more, send what is missing.
                manifest = self._send()
                self._put(manifest)
            self._remember(manifest)
        name = self._reference
        note(self._store.root, "image", "push", name.familiar, {**self._image.labels, "name": name.familiar_repository})
        return manifest.descriptor

    def _hold(self, lease: Lease) -> None:
        """Looking up and leasing is one transaction: what is here now will still be here at the end."""
        with self._store.transaction(durable=False):
            if self._store.images.get(self._image.id) is None:
                raise NotFound(f"image {self._image.id.short} was removed meanwhile", "pull or build it again")
            lease.hold_image(self._image.id)
            tag = self._store.tags.get(self._reference) if self._reference.tag else None
            if tag:
                lease.hold_blob(tag.target.digest)

    def _send(self) -> Manifest:
        """The manifest, of which the registry has every blob now."""
        manifest = self._manifest()
        config = self._store.blobs.read(self._image.id, MAX_BYTES * 2)
        sent = self._send_blobs(manifest, config)
        layers = [sent[diff_id] for diff_id in self._image.diff_ids]
        if [layer.digest for layer in layers] == [layer.digest for layer in manifest.layers]:
            return manifest
        return Manifest.build(
            Descriptor(OCI_CONFIG, self._image.id, len(config)), map(as_oci, layers), annotations=manifest.annotations
        )

    def _manifest(self) -> Manifest:
        """The manifest that the name points to where it is one of this image, else the image's own."""
        tag = self._store.tags.get(self._reference) if self._reference.tag else None
        for digest in ([tag.target.digest] if tag else []) + [self._image.manifest.digest]:
            if self._store.blobs.stat(digest) is None:
                continue
            found = parse_any(self._store.blobs.read(digest, MAX_BYTES))
            if isinstance(found, Manifest) and found.config.digest == self._image.id:
                if len(found.layers) != len(self._image.diff_ids):
                    raise Unsupported(f"the manifest of image {self._image.id.short} does not fit it")
                return found
        raise NotFound(f"the manifest of image {self._image.id.short} is missing", "run 'lamella fsck'")

    def _send_blobs(self, manifest: Manifest, config: bytes) -> dict[DiffID, Descriptor]:
        listed = dict(zip(self._image.diff_ids, manifest.layers, strict=True))
        layers = [self._layer(diff_id) for diff_id in listed]
        made_here = any(layer.recipe for layer in layers) and self._made_here(manifest)
        jobs: list[Callable[[], tuple[DiffID, Descriptor] | None]] = [
            self._job(layer, listed[layer.diff_id], made_here) for layer in layers
        ]
        jobs.append(lambda: self._send_config(config))
        return dict(filter(None, run_all(jobs, self._width, self._cancel)))

    def _layer(self, diff_id: DiffID) -> Layer:
        layer = self._store.layers.get(diff_id)
        if layer is None:
            raise NotFound(f"layer {diff_id.short} of image {self._image.id.short} is missing", "run 'lamella fsck'")
        refuse_damaged(layer)
        return layer

    def _made_here(self, manifest: Manifest) -> bool:
        """Whether nobody else knows the manifest: it is as we make them, and no registry has it or an index with it."""
        if manifest.raw != Manifest.build(manifest.config, manifest.layers, annotations=manifest.annotations).raw:
            return False
        named = {name.digest for name in self._store.tags.digests_of(self._image.id) if name.digest}
        targets = {tag.target.digest for tag in self._store.tags.of_image(self._image.id)}
        others = (named | targets) - {manifest.descriptor.digest}
        return manifest.descriptor.digest not in named and not any(map(self._is_index, others))

    def _is_index(self, digest: Digest) -> bool:
        if self._store.blobs.stat(digest) is None:
            return False
        return not isinstance(parse_any(self._store.blobs.read(digest, MAX_BYTES)), Manifest)

    def _job(self, layer: Layer, listed: Descriptor, made_here: bool) -> Callable[[], tuple[DiffID, Descriptor]]:
        def send() -> tuple[DiffID, Descriptor]:
            task = self._progress.task(layer.diff_id.short, layer.size)
            try:
                blob, how = self._out.send(layer, listed, task, made_here=made_here)
            except BaseException as error:
                task.fail(str(error))
                raise
            task.finish(how)
            return layer.diff_id, blob

        return send

    def _send_config(self, config: bytes) -> None:
        if not self._target.has(self._image.id, len(config)):
            self._target.upload(Bytes(config))

    def _put(self, manifest: Manifest, *, again: bool = True) -> bool:
        """Whether the registry lacks some of its blobs, as it says in refusing the manifest or in a warning; the last word
        (`again`) is for the user."""
        repository = self._target.repository
        name = self._reference.tag or str(manifest.descriptor.digest)
        if self._reference.digest and self._reference.digest != manifest.descriptor.digest:
            raise InvalidInput(
                f"{self._reference.familiar} cannot be pushed: its digest would be another", "push a tag"
            )
        what = f"the manifest of {repository}:{name}"
        request = Request(
            "PUT", repository.url(manifest_path, name), {"Content-Type": manifest.media_type}, Body.of(manifest.raw),
            (repository.scope(PUSH),),
        )  # fmt: skip
        try:
            response = repository.ask(request, what, 201, 200, 202, 204)
        except (Refused, Unknown) as error:
            if again or Code.MANIFEST_BLOB_UNKNOWN not in error.message:
                raise
            return True
        drain(response)
        stored = response.headers.get(DIGEST_HEADER, "")
        if stored.startswith("sha256:") and stored != manifest.descriptor.digest:
            raise WrongBytes(f"{what}: the registry stored {stored[:80]}, {manifest.descriptor.digest} was sent")
        warning = response.headers.get("warning", "")
        if warning and again:
            self._progress.warn(f"{what}: {printable(warning)}")
        return bool(warning)

    def _remember(self, manifest: Manifest) -> None:
        """`repository@digest` is written down, and the manifest it names is kept; unless the image was removed meanwhile."""
        digest: Digest = self._store.blobs.add(manifest.raw)
        with contextlib.suppress(NotFound):
            self._store.tags.add_digest(self._reference.with_digest(digest), self._image.id)
