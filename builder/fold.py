"""What each instruction that only changes the image's config does to a stage's state. Values in, values out.

The lines of history are written as BuildKit writes them, so that tools which read them understand ours.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from typing import Any

from builder.dockerfile.instructions import (
    Cmd,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Instruction,
    Label,
    Maintainer,
    Onbuild,
    Shell,
    Stopsignal,
    User,
    Volume,
    Workdir,
)  # fmt: skip
from builder.state import StageState
from core.units import go_duration
from core.value import replace
from image.config import HealthCheck


def fold(state: StageState, instruction: Instruction) -> StageState:
    """The state after an instruction whose variables are expanded, and which is none of FROM, RUN, COPY, ADD and ARG."""
    return _FOLDS[type(instruction)](state, instruction)


def _env(state: StageState, one: Env) -> StageState:
    values = {pair.key: pair.value for pair in one.pairs}
    args = state.args.changed(dict.fromkeys(values))  # ENV wins over an ARG that came before it
    said = " ".join(f"{pair.key}={pair.value}" for pair in one.pairs)
    return replace(state, set=state.set.changed(values), args=args).noted(f"ENV {said}")


def _label(state: StageState, one: Label) -> StageState:
    labels = state.labels.changed({pair.key: pair.value for pair in one.pairs})
    said = " ".join(f"{pair.key}={pair.value}" for pair in one.pairs)
    return replace(state, labels=labels).noted(f"LABEL {said}")


def _cmd(state: StageState, one: Cmd) -> StageState:
    argv = one.command.argv(state.shell)
    changed = state.configured(cmd=argv, args_escaped=True)
    return replace(changed, cmd_set=True).noted(f"CMD {quoted_list(argv)}")


def _entrypoint(state: StageState, one: Entrypoint) -> StageState:
    argv = one.command.argv(state.shell)
    changed = state.configured(entrypoint=argv)
    if not state.cmd_set:
        changed = changed.configured(cmd=None)
    return changed.noted(f"ENTRYPOINT {quoted_list(argv)}")


def _shell(state: StageState, one: Shell) -> StageState:
    return state.configured(shell=one.words).noted(f"SHELL [{' '.join(one.words)}]")


def _expose(state: StageState, one: Expose) -> StageState:
    return replace(state, ports=state.ports.added(*one.ports)).noted(f"EXPOSE [{' '.join(sorted(one.ports))}]")


def _volume(state: StageState, one: Volume) -> StageState:
    return replace(state, volumes=state.volumes.added(*one.paths)).noted(f"VOLUME [{' '.join(one.paths)}]")


def _user(state: StageState, one: User) -> StageState:
    return state.configured(user=one.user).noted(f"USER {one.user}")


def _stopsignal(state: StageState, one: Stopsignal) -> StageState:
    return state.configured(stop_signal=one.signal).noted(f"STOPSIGNAL {one.signal}")


def _maintainer(state: StageState, one: Maintainer) -> StageState:
    return replace(state, author=one.author).noted(f"MAINTAINER {one.author}")


def _onbuild(state: StageState, one: Onbuild) -> StageState:
    return replace(state, triggers=state.triggers.added(one.trigger))  # leaves no history, as in BuildKit


def _workdir(state: StageState, one: Workdir) -> StageState:
    path = workdir_path(state, one.path)
    return state.configured(working_dir=path).noted(f"WORKDIR {path}", layer=path != "/")


def _healthcheck(state: StageState, one: Healthcheck) -> StageState:
    check = HealthCheck(one.test, one.interval, one.timeout, one.start_period, one.start_interval, one.retries)
    times = [("Interval", one.interval), ("Timeout", one.timeout), ("StartPeriod", one.start_period),
             ("StartInterval", one.start_interval)]  # fmt: skip
    said = " ".join(f"{name}:{go_duration(time)}" for name, time in times)
    test = f"Test:[{' '.join(one.test)}]"
    return state.configured(healthcheck=check).noted(f"HEALTHCHECK {{{test} {said} Retries:{one.retries}}}")


_FOLDS: dict[type[Instruction], Callable[[StageState, Any], StageState]] = {
    Env: _env, Label: _label, Cmd: _cmd, Entrypoint: _entrypoint, Shell: _shell, Expose: _expose, Volume: _volume,
    User: _user, Stopsignal: _stopsignal, Maintainer: _maintainer, Onbuild: _onbuild, Workdir: _workdir,
    Healthcheck: _healthcheck,
}  # fmt: skip


def workdir_path(state: StageState, path: str) -> str:
    """`path` seen from the working directory of now; absolute and clean."""
    return "/" + posixpath.normpath(posixpath.join("/", state.working_dir, path)).lstrip("/")


def quoted_list(words: tuple[str, ...]) -> str:
    """`["a" "b"]`, as histories show a command."""
    import json

    return "[" + " ".join(json.dumps(word, ensure_ascii=False) for word in words) + "]"
