"""One instruction at a time: the state after it, and the step it asks for. This is where variables get their values."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TypeVar

from builder.dockerfile.instructions import Add, Arg, Copy, Instruction, Run, Transfer, Workdir
from builder.fold import fold, workdir_path
from builder.ops.add import AddOp, Part, is_remote
from builder.ops.copy import CopyOp, Inline
from builder.ops.run import RunOp
from builder.ops.workdir import WorkdirOp
from builder.run_flags import executable, hostname_of, is_privileged, plan_devices, plan_mounts
from builder.scope import Scope
from builder.stages import Op, Origin, Stage
from builder.state import StageState
from core.value import replace

FindOrigin = Callable[[str, Instruction], Origin]
Fetch = Callable[[str, Add], tuple[Stage, str]]
Result = tuple[StageState, Op | None, str]
_CREDENTIALS = re.compile(r"://[^/@\s]*@")
T = TypeVar("T", bound=Instruction)


class Interpreter:
    """Reads the instructions of one stage in order; `find_origin` says what a --from names, `fetch` what a URL in an ADD."""

    def __init__(self, scope: Scope, find_origin: FindOrigin, fetch: Fetch) -> None:
        self.scope = scope
        self._find_origin = find_origin
        self._fetch = fetch

    def apply(self, state: StageState, instruction: Instruction) -> Result:
        """The state after `instruction`, its step (None when it only changes the config) and the step's text."""
        if isinstance(instruction, Arg):
            return self.scope.declare(state, instruction), None, ""
        one = self._expanded(state, instruction)
        match one:
            case Run():
                return self._run(state, one)
            case Copy():
                return self._copy(state, one)
            case Add():
                return self._add(state, one)
            case Workdir():
                path = workdir_path(state, one.path)
                return fold(state, one), WorkdirOp(path, state.settings.user), f"WORKDIR {one.path}"
            case _:
                return fold(state, one), None, ""

    def _expanded(self, state: StageState, instruction: T) -> T:
        return instruction.expanded(self.scope.expander(state.variables))

    def _run(self, state: StageState, one: Run) -> Result:
        script = executable(one)
        argv = (*state.shell, script.path if script else one.shell_text) if one.command.shell else one.command.words
        if not argv:
            raise one.error("RUN needs a command")
        request = self.scope.request
        network = request.network if one.network == "default" else one.network
        devices, missing = plan_devices(one, request)
        op = RunOp(
            argv, (*state.env, *state.run_args), tuple(f"{k}={v}" for k, v in self.scope.proxies.items()),
            state.working_dir, state.settings.user, "none" if network == "none" else "host", request.add_hosts,
            plan_mounts(one, state, self._find_origin), script, is_privileged(one, request.allow), request.shm_size, request.limits, missing, devices, hostname_of(one, request.args),
        )  # fmt: skip
        said = " ".join(argv)
        return state.noted(f"RUN {state.counted_args}{said} # buildkit", layer=True), op, one.text

    def _copy(self, state: StageState, one: Copy) -> Result:
        origin = self._find_origin(one.origin, one) if one.origin else None
        op = self._transfer(state, one, origin)
        return self._transferred(state, one), op, _text(one, f"--from={one.origin}" if one.origin else "")

    def _add(self, state: StageState, one: Add) -> Result:
        remote = [source for source in one.sources if is_remote(source)]
        if one.checksum and (not remote or len(one.sources) > 1):
            raise one.error("--checksum is for one http, https or git source", "ADD other sources separately")
        directory = one.destination.endswith(("/", "/.", "/..")) or one.destination in (".", "..")
        if remote and len(one.sources) + len(one.heredocs) > 1 and not directory:
            raise one.error("several sources need a directory", f"write the destination as {one.destination}/")
        return self._transferred(state, one), AddOp(tuple(self._parts(state, one))), _text(one)

    def _parts(self, state: StageState, one: Add) -> Iterator[Part]:
        """Neighbouring sources of the context are one copy, with the heredocs if they come last; a remote one is its own."""
        waiting: list[str] = []
        for source in (*one.sources, ""):
            if source and not is_remote(source):
                waiting.append(source)
                continue
            heredocs = () if source else one.heredocs
            if waiting or heredocs:
                local = self._transfer(state, replace(one, sources=tuple(waiting), heredocs=heredocs), None)
                yield Part(local, one.unpack is not False)
                waiting = []
            if source:
                stage, inside = self._fetch(source, one)
                yield Part(
                    self._transfer(state, replace(one, sources=(inside,), heredocs=()), stage), one.unpack is True
                )

    def _transfer(self, state: StageState, one: Transfer, origin: Origin | None) -> CopyOp:
        remote = next(filter(is_remote, one.sources), None) if one.name == "COPY" else None
        if remote:
            raise one.error(f"COPY takes no URL: {remote}", "use ADD for it")
        if one.link and not all(part.isdecimal() for part in one.owner.split(":") if part):
            raise one.error(
                f"--chown={one.owner} with --link: there is no passwd file to look names up in", "give numbers"
            )
        inline = tuple(Inline(doc.name, doc.body) for doc in one.heredocs)
        directory = one.destination.endswith("/") or one.destination.rpartition("/")[2] in (".", "..")
        destination = workdir_path(state, one.destination)
        parents = isinstance(one, Copy) and one.parents
        return CopyOp(
            one.sources, destination, directory, origin, inline, one.owner, one.mode, one.exclude, parents
        )  # fmt: skip

    def _transferred(self, state: StageState, one: Transfer) -> StageState:
        return state.noted(f"{_text(one)} # buildkit", layer=True)


def _text(one: Transfer, origin: str = "") -> str:
    flags = ["--parents" if isinstance(one, Copy) and one.parents else ""]
    flags += [f"--chown={one.owner}" if one.owner else "", f"--chmod={one.mode}" if one.mode else ""]
    heredocs = [f"<<{doc.name}" for doc in one.heredocs]
    sources = [_CREDENTIALS.sub("://xxxxx@", source) for source in one.sources]
    return " ".join(filter(None, [one.name, origin, *flags, *sources, *heredocs, one.destination]))
