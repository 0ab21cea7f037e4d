"""A store with images made by hand, for pushing; and what is needed to look at the result."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from image.config import ContainerConfig, ImageConfig
from image.descriptor import Descriptor
from image.platform import host_platform
from image.reference import Reference
from images.publish import publish
from layer.pack import pack
from registry.client.client import Client
from registry.client.pull import Pulled
from snapshot.choose import choose
from snapshot.layers import Layers
from store.images import Image
from store.layers import Layer
from store.store import Store

_numbers = itertools.count()


class Shelf:
    """One store below `root`, and the layers in it."""

    def __init__(self, root: Path) -> None:
        self.store = Store.open(root, sync=False)
        self.layers = Layers(self.store, choose(root))

    def layer(self, files: Mapping[str, bytes]) -> Layer:
        """A layer with these files, as a build would leave it."""
        name = f"made{next(_numbers)}"
        directory = self.store.layer_path(name)
        directory.mkdir()
        for path, data in files.items():
            (directory / path).parent.mkdir(parents=True, exist_ok=True)
            (directory / path).write_bytes(data)
            os.utime(directory / path, (0, 0))
        return self.layers.adopt(name, pack(directory))

    def image(self, name: str, *layers: Mapping[str, bytes], cmd: tuple[str, ...] = ("/bin/true",)) -> Image:
        """An image called `name`, as a build would publish it."""
        return self.publish(name, [self.layer(files) for files in layers], cmd)

    def publish(self, name: str, made: Sequence[Layer], cmd: tuple[str, ...]) -> Image:
        """An image of layers that are here."""
        config = ImageConfig(host_platform(), ContainerConfig(cmd=cmd), tuple(layer.diff_id for layer in made))
        return publish(self.store, config, tags=[Reference.parse(name).tagged()], parent=None)

    def push(self, client: Client, name: str, **options: str) -> Descriptor:
        reference = Reference.parse(name).tagged()
        tag = self.store.tags.get(reference)
        assert tag is not None
        image = self.store.images.get(tag.image)
        assert image is not None
        return client.push(image, reference, self.store, self.layers, **options)

    def pull(self, client: Client, name: str) -> Pulled:
        return client.download(Reference.parse(name), self.store, self.layers)

    def file(self, image: Image, path: str) -> bytes:
        """What `path` contains in the topmost layer of `image` that has it."""
        for diff_id in reversed(image.diff_ids):
            layer = self.store.layers.get(diff_id)
            assert layer is not None
            found = self.store.layer_path(layer.directory) / path
            if found.exists():
                return found.read_bytes()
        raise FileNotFoundError(path)

    def close(self) -> None:
        self.store.close()
