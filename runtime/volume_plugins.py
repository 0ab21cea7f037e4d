"""Volumes that a plug-in keeps (VolumeDriver of Docker's plug-in protocol). What it answers is checked before it is used."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from core.errors import LamellaError, NotFound, Unavailable
from core.plugins import LONG, MethodMissing, Plugin, PluginError, find, names
from core.value import Value

KIND = "VolumeDriver"


class Kept(Value):
    """A volume as its plug-in describes it. `status` is whatever it wants to say."""

    name: str
    mountpoint: str = ""
    created_at: str = ""
    status: dict[str, Any] | None = None


class VolumePlugin:
    """One plug-in. Every method raises PluginError with its own words, Unavailable where it does not answer."""

    def __init__(self, name: str) -> None:
        """Raises NotFound where there is no such plug-in, or it is of another kind."""
        self.name = name
        try:
            self._plugin: Plugin = find(name, KIND)
        except NotFound as error:
            raise NotFound(f"error looking up volume plugin {name}: {error.message}", error.hint) from error

    def create(self, name: str, options: Mapping[str, str]) -> None:
        """Make it; one that is there already is the plug-in's to judge."""
        self._plugin.call("VolumeDriver.Create", {"Name": name, "Opts": dict(options)}, seconds=LONG)

    def remove(self, name: str) -> None:
        self._plugin.call("VolumeDriver.Remove", {"Name": name}, seconds=LONG)

    def mount(self, name: str, id: str) -> str:
        """Make it usable for the user `id`; an existing directory of this host."""
        answer = self._plugin.call("VolumeDriver.Mount", {"Name": name, "ID": id}, seconds=LONG)
        path = answer.get("Mountpoint")
        if not isinstance(path, str) or not os.path.isabs(path) or "\0" in path or not os.path.isdir(path):
            raise Unavailable(
                f"the plug-in {self.name} gives no directory for the volume {name}: {str(path)[:200]!r}",
                "ask whoever wrote the plug-in",
            )
        return path

    def unmount(self, name: str, id: str) -> None:
        self._plugin.call("VolumeDriver.Unmount", {"Name": name, "ID": id}, seconds=LONG)

    def get(self, name: str) -> Kept | None:
        """What it says of the volume; None where it does not know it, or does not tell."""
        try:
            answer = self._plugin.call("VolumeDriver.Get", {"Name": name})
        except (PluginError, MethodMissing):
            return None
        return _kept(answer.get("Volume"))

    def all(self) -> list[Kept]:
        """All that it keeps."""
        found = self._plugin.call("VolumeDriver.List", {}).get("Volumes")
        kept = [_kept(one) for one in found] if isinstance(found, list) else []
        return [one for one in kept if one]

    def scope(self) -> str:
        """`local`, or `global` where every machine sees the same volumes."""
        try:
            told = self._plugin.call("VolumeDriver.Capabilities", {}).get("Capabilities")
        except (PluginError, MethodMissing):
            return "local"
        return "global" if isinstance(told, dict) and told.get("Scope") == "global" else "local"


def _kept(data: Any) -> Kept | None:
    if not isinstance(data, dict) or not isinstance(data.get("Name"), str) or not data["Name"]:
        return None
    status = data.get("Status")
    return Kept(
        data["Name"],
        _text(data.get("Mountpoint")),
        _text(data.get("CreatedAt")),
        status if isinstance(status, dict) else None,
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def every() -> Iterator[VolumePlugin]:
    """The volume plug-ins that answer; others are passed over."""
    for name in names():
        try:
            yield VolumePlugin(name)
        except LamellaError:
            continue
