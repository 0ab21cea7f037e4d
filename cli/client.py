"""What the registry client is told, gathered from the environment and from the files that Docker and podman read."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.settings import Settings
from core.errors import InvalidInput
from core.value import Value, field

if TYPE_CHECKING:
    from registry.client.settings import ClientSettings

DAEMON_JSON = Path("/etc/docker/daemon.json")
REGISTRIES_CONF = Path("/etc/containers/registries.conf")


def client_settings(
    settings: Settings, *, tls_verify: bool = True, files: tuple[Path, Path] = (DAEMON_JSON, REGISTRIES_CONF)
) -> ClientSettings:
    """Everything about registries that the machine and the user say. Raises InvalidInput for files that make no sense."""
    from registry.client.settings import ClientSettings

    known = _daemon_json(files[0]) + _registries_conf(files[1])
    environ, home = settings.environ, settings.home
    certs = (Path("/etc/docker/certs.d"), Path("/etc/containers/certs.d"))
    return ClientSettings(
        config_path=Path(environ.get("DOCKER_CONFIG") or home / ".docker") / "config.json",
        certs_dirs=(*certs, home / ".config/docker/certs.d", home / ".config/containers/certs.d"),
        tls_verify=tls_verify, insecure=frozenset(known.insecure), mirrors=known.mirrors,
        proxies=_proxies(environ), no_proxy=tuple(filter(None, _either(environ, "no_proxy").split(","))),
    )  # fmt: skip


class Known(Value):
    """Hosts that need no valid TLS, and mirrors by registry."""

    insecure: tuple[str, ...] = ()
    mirrors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __add__(self, other: Known) -> Known:
        names = {**self.mirrors, **other.mirrors}
        return Known(
            self.insecure + other.insecure,
            {name: (*self.mirrors.get(name, ()), *other.mirrors.get(name, ())) for name in names},
        )


def _proxies(environ: Mapping[str, str]) -> dict[str, str]:
    found = {
        scheme: _either(environ, f"{scheme}_proxy") or _either(environ, "all_proxy") for scheme in ("http", "https")
    }
    return {scheme: proxy for scheme, proxy in found.items() if proxy}


def _either(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name) or environ.get(name.upper()) or ""


def _daemon_json(path: Path) -> Known:
    """`registry-mirrors` (for Docker Hub) and `insecure-registries`, as dockerd reads them."""
    try:
        data = json.loads(path.read_bytes() or b"{}")
    except OSError:
        return Known()
    except ValueError as error:
        raise InvalidInput(f"{path} is not JSON: {error}", "correct or remove the file") from error
    if not isinstance(data, dict):
        return Known()
    mirrors = tuple(url.rstrip("/") for url in _strings(data.get("registry-mirrors")))
    return Known(_strings(data.get("insecure-registries")), {"docker.io": mirrors} if mirrors else {})


def _registries_conf(path: Path) -> Known:
    """`[[registry]]` tables with `location`, `insecure` and `[[registry.mirror]]`, as podman reads them."""
    try:
        data = tomllib.loads(path.read_text())
    except OSError:
        return Known()
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} is not TOML: {error}", "correct or remove the file") from error
    found = Known()
    for table in _tables(data.get("registry")):
        name = str(table.get("prefix") or table.get("location") or "")
        mirrors = _tables(table.get("mirror"))
        places = tuple(str(mirror["location"]) for mirror in mirrors if mirror.get("location"))
        insecure = [t for t in (table, *mirrors) if t.get("insecure") and t.get("location")]
        found += Known(tuple(str(t["location"]).partition("/")[0] for t in insecure), {name: places} if places else {})
    return found


def _tables(data: Any) -> list[dict[str, Any]]:
    return [table for table in data if isinstance(table, dict)] if isinstance(data, list) else []


def _strings(data: Any) -> tuple[str, ...]:
    return tuple(text for text in data if isinstance(text, str)) if isinstance(data, list) else ()
