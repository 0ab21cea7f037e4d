"""Which names an expansion sees: the global ARGs before the first FROM, the build args, what BuildKit sets by itself."""

from __future__ import annotations

from collections.abc import Mapping

from builder.dockerfile.expand import Expander
from builder.dockerfile.instructions import Arg, Dockerfile
from builder.dockerfile.source import Span
from builder.request import PROXY_ARGS, BuildRequest
from builder.state import StageState
from image.platform import Platform, host_platform

# Build args that steer a builder and need no ARG (reference: Dockerfile, "BuildKit built-in build args").
_STEERING = ("BUILDKIT_", "SOURCE_DATE_EPOCH")


class Scope:
    """The names of one build. Collects warnings, and which build args nobody asked for."""

    def __init__(self, request: BuildRequest, dockerfile: Dockerfile) -> None:
        self.request = request
        self.escape = dockerfile.escape
        self.warnings: list[str] = []
        self.declared: set[str] = set()
        self.automatic = _automatic(request)
        self.globals = self._global_args(dockerfile)

    def _global_args(self, dockerfile: Dockerfile) -> dict[str, str]:
        values = self.automatic | {k: v for k, v in self.request.args.items() if k in self.automatic}
        for arg in dockerfile.global_args:
            for declaration in arg.declarations:
                one = Arg(arg.span, arg.text, arg.source, (declaration,)).expanded(self.expander(values, arg.span))
                key, default = one.declarations[0].key, one.declarations[0].default
                self.declared.add(key)
                value = self.request.args.get(key, default)
                if value is not None:
                    values[key] = value
        return values

    def expander(self, values: Mapping[str, str], span: Span) -> Expander:
        """An expander that sees `values`; a name that is not among them is warned of, with its place."""

        def unset(name: str) -> None:
            self.warn(f"{span}: ${name} is not set")

        return Expander(values.get, self.escape, unset)

    def warn(self, message: str) -> None:
        """Add a warning, once."""
        if message not in self.warnings:
            self.warnings.append(message)

    def declare(self, state: StageState, arg: Arg) -> StageState:
        """The state after an ARG of a stage. A build arg wins over the default here, and that over the global value."""
        from core.value import replace

        args, said = dict(state.args), []
        for declaration in arg.declarations:
            key = declaration.key
            self.declared.add(key)
            value = self.request.args.get(key, declaration.default)
            if value is None:
                value = self.globals.get(key)
            if value is not None:
                args.pop(key, None)
                args[key] = value
            said.append(key if value is None else f"{key}={value}")
        return replace(state, args=args).noted(f"ARG {' '.join(said)}")

    @property
    def proxies(self) -> dict[str, str]:
        """The proxy settings among the build args: every RUN gets them."""
        return {name: value for name, value in self.request.args.items() if name in PROXY_ARGS}

    def unused(self) -> list[str]:
        """The build args that no ARG of the whole file declares and that mean nothing by themselves."""
        known = self.declared | PROXY_ARGS | set(self.automatic)
        return sorted(name for name in self.request.args if name not in known and not name.startswith(_STEERING))


def _automatic(request: BuildRequest) -> dict[str, str]:
    values = {"TARGETSTAGE": request.target or "default"}
    for side, platform in (("TARGET", request.platform), ("BUILD", host_platform())):
        values |= _platform(side, platform)
    return values


def _platform(side: str, platform: Platform) -> dict[str, str]:
    return {
        f"{side}PLATFORM": str(platform), f"{side}OS": platform.os, f"{side}OSVERSION": platform.os_version,
        f"{side}ARCH": platform.architecture, f"{side}VARIANT": platform.variant,
    }  # fmt: skip
