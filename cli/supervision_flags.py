"""What --restart and --health-… ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from core.errors import InvalidInput

if TYPE_CHECKING:
    from image.config import HealthCheck
    from runtime.restart import Restart

DURATIONS = ("health_interval", "health_timeout", "health_start_period", "health_start_interval")
SETTINGS = ("health_cmd", *DURATIONS, "health_retries")
SHORTEST = 10**6  # nanoseconds


def restart(flags: Mapping[str, Any]) -> Restart | None:
    """The policy of --restart. Raises InvalidInput, also where --rm contradicts it."""
    if flags["restart"] in ("", "no"):
        return None
    from runtime.restart import parse

    policy = parse(flags["restart"])
    if policy and flags["rm"]:
        raise InvalidInput("conflicting options: cannot specify both --restart and --rm", "leave one of them out")
    return policy


def health(flags: Mapping[str, Any]) -> HealthCheck | None:
    """What the --health-… flags say about checks; None where they leave all to the image. Raises InvalidInput."""
    given = [name for name in SETTINGS if flags[name]]
    if flags["no_healthcheck"]:
        if given:
            raise InvalidInput("--no-healthcheck conflicts with --health-* options", "leave one of them out")
        return _check(("NONE",))
    if not given:
        return None
    if flags["health_retries"] < 0:
        raise InvalidInput("--health-retries cannot be negative")
    times = {name.removeprefix("health_"): _duration(name, flags[name]) for name in DURATIONS}
    command = ("CMD-SHELL", flags["health_cmd"]) if flags["health_cmd"] else ()
    return _check(command, **times, retries=flags["health_retries"])


def _check(test: tuple[str, ...], **values: int) -> HealthCheck:
    from image.config import HealthCheck

    return HealthCheck(test, **values)


def _duration(name: str, text: str) -> int:
    from core.units import parse_duration

    if not text:
        return 0
    flag = "--" + name.replace("_", "-")
    try:
        value = parse_duration(text)
    except InvalidInput as error:
        raise InvalidInput(f'invalid argument "{text}" for "{flag}" flag: {error.message}', error.hint) from error
    if value < 0:
        raise InvalidInput(f"{flag} cannot be negative")
    if 0 < value < SHORTEST:
        words = "".join(part.capitalize() for part in name.removeprefix("health_").split("_"))
        raise InvalidInput(f"{words} in Healthcheck cannot be less than 1ms", "write it like 30s, 5m or 1h30m")
    return value
