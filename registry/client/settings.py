"""What the client must be told: nothing below `cli` reads the environment or guesses where files are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from core.version import VERSION


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """How registries are reached. Times are in seconds.

    `config_path`: Docker's config.json with credentials, None for anonymous access. `certs_dirs`: folders with one
    folder of certificates a host (`/etc/docker/certs.d`). `tls_verify` off: believe any certificate and fall back to
    plain HTTP, for every host; `insecure`: the same for these hosts alone (loopback always may be plain HTTP).
    `proxies`: URL by scheme (`http`, `https`); `no_proxy`: hosts, `.suffixes` and networks reached directly.
    `mirrors`: base URLs tried first on pulls, by the registry's name. `retries`: further attempts after a failure that
    may pass. `parallel`: layers moved at once.
    `read_timeout` counts from the last byte; ten times as long is given to a registry that is storing what was sent.
    """

    config_path: Path | None = None
    certs_dirs: tuple[Path, ...] = (Path("/etc/docker/certs.d"), Path("/etc/containers/certs.d"))
    tls_verify: bool = True
    insecure: frozenset[str] = frozenset()
    proxies: Mapping[str, str] = field(default_factory=dict)
    no_proxy: tuple[str, ...] = ()
    mirrors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    user_agent: str = f"lamella/{VERSION}"
    retries: int = 5
    backoff: float = 0.25
    backoff_limit: float = 30.0
    connect_timeout: float = 30.0
    read_timeout: float = 90.0
    parallel: int = 3
