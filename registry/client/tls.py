"""Which certificates to believe and to show, per host: the system's, and what certs.d folders add (Docker's rules)."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from pathlib import Path

from core.errors import InvalidInput


def is_loopback(host: str) -> bool:
    """Whether `host` (a name or an address, without a port) is this machine."""
    name = host.strip("[]").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    with contextlib.suppress(ValueError):
        return ip_address(name).is_loopback
    return False


def folders(directories: Sequence[Path], hosts: Sequence[str]) -> Iterator[Path]:
    """The folders that hold certificates for any of `hosts` (`HOST` or `HOST:PORT`)."""
    for directory in directories:
        for host in hosts:
            path = directory / host
            if path.is_dir():
                yield path


def context(directories: Sequence[Path], hosts: Sequence[str], *, verify: bool) -> ssl.SSLContext:
    """A context for `hosts`: `*.crt` are further CAs, `X.cert` with `X.key` a client certificate.

    Raises InvalidInput for files that cannot be read or are no certificates, naming them.
    """
    made = ssl.create_default_context()
    if not _has_system_authorities():
        import certifi

        made.load_verify_locations(certifi.where())
    if not verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    for folder in folders(directories, hosts):
        for path in sorted(folder.iterdir()):
            try:
                _load(made, path)
            except (OSError, ssl.SSLError) as error:
                raise InvalidInput(f"cannot use the certificate {path}: {error}", "replace or remove it") from error
    return made


def _load(made: ssl.SSLContext, path: Path) -> None:
    if path.suffix == ".crt":
        made.load_verify_locations(path)
    elif path.suffix == ".cert":
        key = path.with_suffix(".key")
        if not key.exists():
            raise OSError(f"its key {key.name} is missing")
        made.load_cert_chain(path, key)


def _has_system_authorities() -> bool:
    paths = ssl.get_default_verify_paths()
    return bool(paths.cafile or (paths.capath and any(Path(paths.capath).iterdir())))
