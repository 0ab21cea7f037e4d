"""What a stage has come to after some of its instructions: an immutable value, folded on by `fold`."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping
from functools import cached_property
from typing import Any, cast

from builder.growing import Log, Names
from core.value import Value, field, replace
from image.config import ContainerConfig, ImageConfig

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_SHELL = ("/bin/sh", "-c")


class Entry(Value):
    """A line of history to be: dated when the image is exported. `layer` when it brings one."""

    created_by: str
    layer: bool = False


class StageState(Value):
    """`settings` is the config without what this file adds to its lists: variables (`set`), `labels`, `ports`, `volumes` and
    `triggers`, which the base image may have as well. A file may have very many instructions, so what grows with them is
    shared by the states that it grows through.

    `args` are the ARGs in effect that have a value; they are no part of the image. `declared` are all names that an ARG has
    declared so far, those without a value or with an ENV in place of it too. `history` are this file's own entries: those
    of the base image come before them. `cmd_set` tells whether this very stage has set it (an ENTRYPOINT drops only an
    inherited CMD).
    """

    settings: ContainerConfig = field(default_factory=ContainerConfig)
    args: Names = field(default_factory=Names)
    history: Log[Entry] = field(default_factory=Log)
    cmd_set: bool = False
    author: str = ""
    declared: Names = field(default_factory=Names)
    set: Names = field(default_factory=Names)
    inherited: Mapping[str, str] = field(default_factory=dict)
    labels: Names = field(default_factory=Names)
    ports: Log[str] = field(default_factory=Log)
    volumes: Log[str] = field(default_factory=Log)
    triggers: Log[str] = field(default_factory=Log)

    @cached_property
    def config(self) -> ContainerConfig:
        """All that the image will say."""
        own = self.settings
        return replace(
            own, env=self.env, labels={**own.labels, **self.labels}, on_build=(*own.on_build, *self.triggers),
            exposed_ports=_merged(own.exposed_ports, self.ports), volumes=_merged(own.volumes, self.volumes),
        )  # fmt: skip

    @property
    def env(self) -> tuple[str, ...]:
        """ENV as `NAME=value`, without the ARGs: what the base image has, with its new values in its places, and then the
        rest."""
        old = [(pair, split_pair(pair)[0]) for pair in self.settings.env]
        kept = [f"{name}={self.set[name]}" if name in self.set else pair for pair, name in old]
        return (*kept, *(f"{name}={value}" for name, value in self.set.items() if name not in self.inherited))

    @property
    def variables(self) -> ChainMap[str, str]:
        """What `$name` means now: ENV, and the ARGs that were declared after an ENV of the same name or without one. What is
        put into it changes nothing here."""
        return ChainMap({}, *cast("list[dict[str, str]]", [self.args, self.set, self.inherited]))

    @property
    def shell(self) -> tuple[str, ...]:
        return self.settings.shell or DEFAULT_SHELL

    @property
    def working_dir(self) -> str:
        return self.settings.working_dir or "/"

    @property
    def run_args(self) -> tuple[str, ...]:
        """The ARGs that a RUN gets and its key knows, sorted; a proxy is among them only where an ARG declares it."""
        return tuple(f"{name}={value}" for name, value in sorted(self.args.items()))

    @property
    def counted_args(self) -> str:
        """What the history of a RUN says of ARGs: `|2 A=1 B= `, or nothing."""
        values = self.variables
        said = [f"{name}={values.get(name, '')}" for name in self.declared]
        return " ".join([f"|{len(said)}", *said, ""]) if said else ""

    def configured(self, **fields: Any) -> StageState:
        """With fields of the container's config replaced that are no lists."""
        return replace(self, settings=replace(self.settings, **fields))

    def noted(self, created_by: str, *, layer: bool = False) -> StageState:
        """With a line of history added."""
        return replace(self, history=self.history.added(Entry(created_by, layer)))


def _merged(old: tuple[str, ...], new: Log[str]) -> tuple[str, ...]:
    return tuple(sorted({*old, *new})) if new else old


def split_pair(pair: str) -> tuple[str, str]:
    """`NAME=value` in two; a bare name has the empty value."""
    name, _, value = pair.partition("=")
    return name, value


def start_from(config: ContainerConfig, author: str = "") -> StageState:
    """A stage, or a change, that begins with `config`."""
    return StageState(config, author=author, inherited=dict(map(split_pair, config.env)))


def start_from_scratch() -> StageState:
    """`FROM scratch`: a PATH, and the root as working directory."""
    return start_from(ContainerConfig(env=(f"PATH={DEFAULT_PATH}",), working_dir="/"))


def start_from_image(image: ImageConfig) -> StageState:
    """The base image's config, with a PATH where it has none; its ONBUILD triggers are for the planner to run."""
    config = replace(image.config, on_build=())
    if not any(split_pair(pair)[0] == "PATH" for pair in config.env):
        config = replace(config, env=(*config.env, f"PATH={DEFAULT_PATH}"))
    return start_from(config, image.author)


def start_from_stage(base: StageState) -> StageState:
    """`FROM` an earlier stage: all it has, its ARGs included; what it set counts as inherited from now on."""
    return replace(base.configured(on_build=()), triggers=Log(), cmd_set=False)
