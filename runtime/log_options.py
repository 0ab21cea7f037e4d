"""Where a container's output is kept, and how much of it: `--log-driver` and `--log-opt`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from core.value import Value, field

if TYPE_CHECKING:
    from runtime.container import Container

LOG = "container.log"
LIMIT = 100 << 20  # bytes, where nothing else is asked for: what Docker's driver `local` keeps
DRIVERS = ("json-file", "local", "none")
_IGNORED = ("compress", "mode", "max-buffer-size", "labels", "labels-regex", "env", "env-regex", "tag")


class LogOptions(Value):
    """`limit` is in bytes, 0 for none. `options` are what the user wrote, for `inspect`."""

    driver: str = "json-file"
    limit: int = LIMIT
    options: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def files(self) -> int:
        """How many files were asked for; conmon keeps one, of all their size."""
        return int(self.options.get("max-file", "1"))


def log_words(container: Container, directory: Path) -> list[str]:
    """What conmon is told. At the limit it begins a new file in place of the old one."""
    chosen = container.logging or LogOptions()
    if chosen.driver == "none":
        return ["-l", "none"]
    limit = ["--log-size-max", str(chosen.limit)] if chosen.limit else []
    return ["-l", f"k8s-file:{directory / LOG}", *limit]


def parse(driver: str, options: tuple[str, ...]) -> LogOptions | None:
    """The flags' values; None where they ask for nothing. Raises InvalidInput, and Unsupported for another driver."""
    from core.errors import InvalidInput, Unsupported
    from core.units import parse_size

    if not driver and not options:
        return None
    driver = driver or "json-file"
    if driver not in DRIVERS:
        raise Unsupported(
            f"logger: no log driver named '{driver}' is registered", f"the drivers are {', '.join(DRIVERS)}"
        )
    given = dict(option.partition("=")[::2] for option in options)
    for name in given:
        if driver == "none" or name not in ("max-size", "max-file", *_IGNORED):
            raise InvalidInput(f"unknown log opt '{name}' for {driver} log driver", "use max-size and max-file")
    files = given.get("max-file", "1")
    if not files.isdecimal() or int(files) < 1:
        raise InvalidInput("max-file cannot be less than 1", "such as --log-opt max-file=3")
    if int(files) > 1 and driver == "json-file" and "max-size" not in given:
        raise InvalidInput("invalid 'max-file' value: it needs a max-size", "such as --log-opt max-size=10m")
    size = given.get("max-size", "")
    limit = LIMIT if not size else 0 if size == "-1" else parse_size(size) * int(files)
    return LogOptions(driver, limit, given)
