"""An image of a real root file system, made without a builder or a registry."""

from __future__ import annotations

import shutil
from pathlib import Path

from image.config import ContainerConfig, ImageConfig
from image.platform import host_platform
from image.reference import Reference
from images.publish import publish
from layer.pack import PACK_VERSION, pack
from store.layers import Layer
from store.store import Store
from store.temporary import short_name


def publish_root(store_root: Path, rootfs: Path, name: str, config: ContainerConfig) -> None:
    """Put a copy of `rootfs` into the store as the one layer of an image called `name`."""
    with Store.open(store_root) as store:
        directory = store.layer_path(short_name())
        shutil.copytree(rootfs, directory, symlinks=True)
        directory.chmod(0o755)
        packed = pack(directory)
        layer = store.layers.add(Layer(packed.diff_id, directory.name, packed.size, "packed", PACK_VERSION, None))
        if layer.directory != directory.name:
            shutil.rmtree(directory)
        image = ImageConfig(host_platform(), config, (packed.diff_id,))
        publish(store, image, tags=[Reference.parse(name)], parent=None)
