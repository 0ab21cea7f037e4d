"""Which names an expansion sees: the global ARGs before the first FROM, the build args, what BuildKit sets by itself."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping

from builder.dockerfile.expand import Expander, ExpansionError
from builder.dockerfile.instructions import Arg, Declaration, Dockerfile
from builder.request import PROXY_ARGS, BuildRequest
from builder.state import StageState
from image.platform import Platform, host_platform

# Build args that steer a builder and need no ARG (reference: Dockerfile, "BuildKit built-in build args").
_STEERING = ("BUILDKIT_", "SOURCE_DATE_EPOCH")
# They say what is scanned, and no step sees them.
_NO_ENV = ("BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE")
_TOO_LONG = "build it in parts, or let a RUN make what is so long"
MAX_INSERTED = 64 << 20  # characters


class Scope:
    """The names of one build. Knows which build args nobody asked for."""

    def __init__(self, request: BuildRequest, dockerfile: Dockerfile) -> None:
        self.request = request
        self.escape = dockerfile.escape
        self.declared: set[str] = set()
        self._inserted = 0
        self.automatic = _automatic(request, dockerfile)
        self.globals = self._global_args(dockerfile)

    def _global_args(self, dockerfile: Dockerfile) -> dict[str, str]:
        values = self.automatic | {k: v for k, v in self.request.args.items() if k in self.automatic}
        for arg in dockerfile.global_args:
            for declaration in arg.declarations:
                self._settle(arg, declaration, values)
        return values

    def _settle(self, arg: Arg, declaration: Declaration, values: MutableMapping[str, str]) -> str | None:
        """The value of one name of an ARG, put among `values`, which are what it sees; None where there is none. A build
        arg wins over the default, which is not even looked at then."""
        key = declaration.key
        self.declared.add(key)
        value = self.request.args.get(key)
        if value is None and declaration.default is not None:
            one = Arg(arg.span, arg.text, arg.source, (declaration,)).expanded(self.expander(values))
            value = one.declarations[0].default
        if value is not None:
            values[key] = value
        return value

    def expander(self, values: Mapping[str, str]) -> Expander:
        """An expander that sees `values`; names that are not among them are for the checks to tell."""
        return Expander(lambda name: self._counted(values.get(name)), self.escape)

    def _counted(self, value: str | None) -> str | None:
        """`value`, which is about to be put into a text: none of them is long, but a file can have any number of them."""
        self._inserted += len(value or "")
        if self._inserted > MAX_INSERTED:
            raise ExpansionError(
                f"all values of variables together are longer than {MAX_INSERTED >> 20} MiB", _TOO_LONG
            )
        return value

    def declare(self, state: StageState, arg: Arg) -> StageState:
        """The state after an ARG of a stage. A build arg wins over the default here, and that over the global value."""
        from core.value import replace

        args: dict[str, str | None] = {}
        said, seen = [], state.variables
        for declaration in arg.declarations:
            key = declaration.key
            value = self._settle(arg, declaration, seen)
            if value is None:
                value = self.globals.get(key)
            if value is not None and key not in _NO_ENV:
                args[key] = seen[key] = value
            said.append(key if value is None else f"{key}={value}")
        declared = state.declared.changed({each.key: "" for each in arg.declarations})
        return replace(state, args=state.args.changed(args), declared=declared).noted(f"ARG {' '.join(said)}")

    @property
    def proxies(self) -> dict[str, str]:
        """The proxy settings among the build args: every RUN gets them."""
        return {name: value for name, value in self.request.args.items() if name in PROXY_ARGS}

    def unused(self) -> list[str]:
        """The build args that no ARG of the whole file declares and that mean nothing by themselves."""
        known = self.declared | PROXY_ARGS | set(self.automatic)
        return sorted(name for name in self.request.args if name not in known and not name.startswith(_STEERING))


def _automatic(request: BuildRequest, dockerfile: Dockerfile) -> dict[str, str]:
    values = {"TARGETSTAGE": request.target or dockerfile.stages[-1].name or "default"}
    for side, platform in (("TARGET", request.platform), ("BUILD", host_platform())):
        values |= _platform(side, platform)
    return values


def _platform(side: str, platform: Platform) -> dict[str, str]:
    return {
        f"{side}PLATFORM": str(platform), f"{side}OS": platform.os, f"{side}OSVERSION": platform.os_version,
        f"{side}ARCH": platform.architecture, f"{side}VARIANT": platform.variant,
    }  # fmt: skip
