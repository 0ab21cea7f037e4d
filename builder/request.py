"""What a build is asked for and what it gives back: values, and the one thing that others bring in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from builder.dockerfile.source import Finding
from core.value import Value, field
from image.platform import Platform, host_platform
from image.reference import Reference
from store.images import Image

if TYPE_CHECKING:
    from builder.sources.named import Contexts, LayoutContext
    from runtime.step import Limit

INSECURE = "security.insecure"
DEVICE = "device"
Network = Literal["default", "none", "host"]

# Known to every RUN without an ARG, and never in a cache key or a history (reference: Dockerfile, "Predefined ARGs").
PROXY_ARGS = frozenset(
    spelled
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
    for spelled in (name, name.lower())
)


class Agent(Value):
    """What answers `--mount=type=ssh`: the socket of an ssh agent, or private keys (paths) that one is started with."""

    socket: str = ""
    keys: tuple[str, ...] = ()


class ImageSource(Protocol):
    """Where the images come from that a build starts FROM or copies from."""

    def resolve(self, reference: Reference, platform: Platform, *, pull: bool) -> Image:
        """The image, whole in the local store when this returns; with `pull`, a registry is asked even if it is there.

        Raises NotFound where nobody has it, Unavailable where the registry does not answer.
        """

    def from_layout(self, layout: LayoutContext, platform: Platform) -> Image:
        """The image of an OCI layout, whole in the local store when this returns. Raises NotFound, BadArchive."""


class BuildRequest(Value):
    """One call of `build`. `dockerfile` is the text, `dockerfile_name` what messages call it, `dockerfile_path` where it is
    if it is a file; `context` is a directory; `args` are the build args that have a value.

    `sent`: the context came whole, from a server or as an archive, and no .dockerignore counts. `contexts`: further
    contexts by name (builder.sources.named). `secrets` and `agents` are for the mounts that ask for their ID; `allow` are
    entitlements, `shm_size` (bytes) and `limits` those of RUN steps; `jobs` is how many steps of independent stages run at
    a time, 0 for as many as there are processors; `device_directories` is where devices are described, a later one wins.
    """

    dockerfile: bytes
    dockerfile_name: str
    context: Path
    dockerfile_path: Path | None = None
    tags: tuple[Reference, ...] = ()
    args: Mapping[str, str] = field(default_factory=dict)
    target: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    platform: Platform = field(default_factory=host_platform)
    pull: bool = False
    no_cache: bool = False
    no_cache_stages: frozenset[str] = frozenset()
    network: Network = "default"
    add_hosts: tuple[str, ...] = ()
    squash: bool = False
    sent: bool = False
    contexts: Contexts = field(default_factory=dict)
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    agents: Mapping[str, Agent] = field(default_factory=dict)
    allow: frozenset[str] = frozenset()
    shm_size: int = 64 << 20
    limits: tuple[Limit, ...] = ()
    jobs: int = 0
    device_directories: tuple[str, ...] = ("/etc/cdi", "/var/run/cdi", "/etc/buildkit/cdi")


class BuildResult(Value):
    """The image, and what the checks find in the Dockerfile although it did not stop the build."""

    image: Image
    findings: tuple[Finding, ...] = ()
