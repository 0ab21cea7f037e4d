"""What a stage has come to after some of its instructions: an immutable value, folded on by `fold`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.value import Value, field, replace
from image.config import ContainerConfig, ImageConfig

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_SHELL = ("/bin/sh", "-c")


class Entry(Value):
    """A line of history to be: dated when the image is exported. `layer` when it brings one."""

    created_by: str
    layer: bool = False


class StageState(Value):
    """`args` are the ARGs in effect that have a value, in the order they were declared; they are no part of the image.
    `declared` are all names that an ARG has declared so far, those without a value or with an ENV in place of it too.

    `cmd_set` and `entrypoint_set` tell whether this very stage has set them (an ENTRYPOINT drops only an inherited CMD).
    `history` are this file's own entries: those of the base image come before them.
    """

    config: ContainerConfig = field(default_factory=ContainerConfig)
    args: Mapping[str, str] = field(default_factory=dict)
    history: tuple[Entry, ...] = ()
    cmd_set: bool = False
    author: str = ""
    declared: tuple[str, ...] = ()

    @property
    def env(self) -> dict[str, str]:
        """ENV, without the ARGs."""
        return dict(split_pair(pair) for pair in self.config.env)

    @property
    def variables(self) -> dict[str, str]:
        """What `$name` means now: ENV, and the ARGs that were declared after an ENV of the same name or without one."""
        return self.env | dict(self.args)

    @property
    def shell(self) -> tuple[str, ...]:
        return self.config.shell or DEFAULT_SHELL

    @property
    def working_dir(self) -> str:
        return self.config.working_dir or "/"

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
        """With fields of the container's config replaced."""
        return replace(self, config=replace(self.config, **fields))

    def noted(self, created_by: str, *, layer: bool = False) -> StageState:
        """With a line of history added."""
        return replace(self, history=(*self.history, Entry(created_by, layer)))


def split_pair(pair: str) -> tuple[str, str]:
    """`NAME=value` in two; a bare name has the empty value."""
    name, _, value = pair.partition("=")
    return name, value


def set_variable(env: tuple[str, ...], name: str, value: str) -> tuple[str, ...]:
    """The list with `name` set: in its place if it is there, else at the end."""
    pairs = [pair if split_pair(pair)[0] != name else f"{name}={value}" for pair in env]
    return tuple(pairs if f"{name}={value}" in pairs else [*pairs, f"{name}={value}"])


def start_from_scratch() -> StageState:
    """`FROM scratch`: a PATH, and the root as working directory."""
    return StageState(ContainerConfig(env=(f"PATH={DEFAULT_PATH}",), working_dir="/"))


def start_from_image(image: ImageConfig) -> StageState:
    """The base image's config, with a PATH where it has none; its ONBUILD triggers are for the planner to run."""
    config = replace(image.config, on_build=())
    if not any(split_pair(pair)[0] == "PATH" for pair in config.env):
        config = replace(config, env=(*config.env, f"PATH={DEFAULT_PATH}"))
    return StageState(config, author=image.author)


def start_from_stage(base: StageState) -> StageState:
    """`FROM` an earlier stage: all it has, its ARGs included; what it set counts as inherited from now on."""
    return replace(base, config=replace(base.config, on_build=()), cmd_set=False)
