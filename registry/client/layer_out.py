"""One layer going out: found there, mounted from a neighbour, sent as it was kept, or packed and compressed on the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.progress import Task
from core.value import replace
from image.descriptor import Descriptor
from image.digest import DiffID, Digest
from image.media_types import OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD, compression_of, is_foreign
from image.reference import Reference
from registry.client.sources import Kept, Packed
from registry.client.upload import Target
from store.blobs import BlobDamaged

if TYPE_CHECKING:
    from snapshot.layers import Layers
    from store.layers import Layer
    from store.store import Store

OCI_TYPES = {"gzip": OCI_LAYER_GZIP, "zstd": OCI_LAYER_ZSTD, "none": OCI_LAYER}
NEIGHBOURS = 2  # repositories asked for a mount before the bytes are sent


@dataclass(frozen=True, slots=True)
class LayerOut:
    """Sends the layers of one image to `target`, where the image is called `reference`."""

    target: Target
    reference: Reference
    store: Store
    layers: Layers
    compression: str

    def send(self, layer: Layer, listed: Descriptor, task: Task, *, made_here: bool) -> tuple[Descriptor, str]:
        """The descriptor of `layer` as the registry now has it, and in a word how it came there.

        `listed` is the layer's entry in the image's manifest, which is to be kept if it can be, unless that was `made_here`: for
        what was built or came by a docker-archive, whose layers are compressed when they are first sent.
        """
        if is_foreign(listed.media_type):
            return listed, "Skipped foreign layer"
        wanted = self._forms(layer, listed, made_here)
        for form in wanted:
            if self.target.has(form.digest, form.size):
                task.advance(form.size)
                return form, "Layer already exists"
        session = None
        for form in wanted[:1]:
            for path in self._neighbours(layer.diff_id):
                mounted = self.target.mount(form.digest, path)
                if mounted is True:
                    return form, f"Mounted from {path}"
                session = mounted or session
        return self._upload(layer, wanted, session or None, task), "Pushed"

    def _forms(self, layer: Layer, listed: Descriptor, made_here: bool) -> list[Descriptor]:
        """The forms of the layer that will do, the best first: the manifest's own, the one it came in, a known one."""
        forms = [listed] if str(listed.digest) != str(layer.diff_id) else []
        if layer.origin == "foreign" and layer.blob and not layer.recipe:
            forms.append(layer.blob)
        elif (layer.recipe and not made_here) or self.compression == "none":
            forms.append(Descriptor(OCI_LAYER, Digest(layer.diff_id), layer.size))
        forms += [b for b in self.store.layers.known_blobs(layer.diff_id) if self._compressed(b)]
        return list({form.digest: form for form in reversed(forms)}.values())[::-1]

    def _compressed(self, blob: Descriptor) -> bool:
        return compression_of(blob.media_type) == self.compression

    def _neighbours(self, diff_id: DiffID) -> list[str]:
        """Other repositories of the same registry to which an image with this layer has been pushed, or pulled from."""
        images = self.store.images.using(diff_id)
        named = (ref for refs in self.store.tags.digests_of_images(images).values() for ref in refs)
        paths = {ref.path for ref in named if ref.registry == self.reference.registry}
        return sorted(paths - {self.reference.path})[:NEIGHBOURS]

    def _upload(self, layer: Layer, wanted: list[Descriptor], session: str | None, task: Task) -> Descriptor:
        for form in wanted:
            if self.store.blobs.stat(form.digest) == form.size:
                self._send_kept(form, session, task)
                return form
            if form.digest == str(layer.diff_id):
                self.target.upload(Packed(self.layers, layer, "none", task.advance, form), session)
                return form
        source = Packed(self.layers, layer, self.compression, task.advance)
        self.target.upload(source, session)
        digest, size = source.result()
        made = Descriptor(OCI_TYPES[self.compression], digest, size)
        self.store.layers.set_blob(layer.diff_id, made)
        return made

    def _send_kept(self, form: Descriptor, session: str | None, task: Task) -> None:
        try:
            self.target.upload(Kept(self.store.blobs, form, task.advance), session)
        except BlobDamaged as error:
            self.store.quarantine.add_blob(form.digest, error.message)
            raise


def as_oci(blob: Descriptor) -> Descriptor:
    """The same bytes under OCI's media type, for a manifest of our own."""
    kind = compression_of(blob.media_type)
    if kind is None or blob.media_type in OCI_TYPES.values() or is_foreign(blob.media_type):
        return blob
    return replace(blob, media_type=OCI_TYPES[kind])
