"""`--init`: a small init of the host's goes first in the container and reaps orphans."""

from __future__ import annotations

import os

from core.errors import Unsupported
from runtime.mounts import Mount

PATH = "/sbin/docker-init"
# They are bound into any image, so they must be linked statically.
CANDIDATES = ("/usr/bin/catatonit", "/usr/bin/tini-static", "/usr/libexec/podman/catatonit", "/usr/bin/docker-init")


def init_mount() -> Mount:
    """The host's init at PATH. Raises Unsupported where none is installed."""
    for path in CANDIDATES:
        if os.path.exists(path):
            return Mount(path, PATH, read_only=True)
    raise Unsupported("--init needs a small init program on this machine", "install catatonit or tini")
