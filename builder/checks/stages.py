"""Rules that look at one instruction after the other, and need to know what the stage has come to before it."""

from __future__ import annotations

import posixpath
import re

from builder.checks.report import Report
from builder.checks.text import name_of
from builder.dockerfile.expand import Expander, ExpansionError
from builder.dockerfile.ignore import Ignore
from builder.dockerfile.instructions import (
    Add,
    Arg,
    Cmd,
    Copy,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Instruction,
    Label,
    Transfer,
    Workdir,
)  # fmt: skip
from builder.dockerfile.source import DockerfileError
from builder.state import StageState

_NO_ENV = ("BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE")
_SECRET = re.compile("(?i)(?:_|^)(?:apikey|auth|credentials?|key|password|pword|passwd|secret|token)(?:_|$)")
_HARMLESS = re.compile("(?i)(?:_|^)(?:public|file|version)(?:_|$)")
_WHOLE = ("*", "**", "**/*")
_REMOTE = re.compile(r"(https?|git|ssh)://|git@[^/]+:")


class StageChecks:
    """Looks at the instructions of one stage in their order: `see` each. A stage that is FROM another one starts where that
    ended (`base`). `blind`: what the base image defines is not known, so no variable can be called undefined."""

    def __init__(
        self, report: Report, escape: str, ignore: Ignore, base: StageChecks | None = None, *, blind: bool = False
    ) -> None:
        self._report = report
        self._escape = escape
        self._ignore = ignore
        self._blind: bool = blind or (base is not None and base._blind)
        self._declared: set[str] = set(base._declared) if base else set()
        self._workdir_set: bool = base is not None and base._workdir_set
        self._once: dict[str, Instruction] = {}

    def see(self, state: StageState, one: Instruction) -> None:
        """`state` is that before `one`, whose variables are not expanded."""
        if isinstance(one, Arg):
            self._arg(state, one)
            return
        expanded = self._expanded(state, one)
        match one:
            case Env() | Label():
                self._pairs(one)
            case Cmd() | Entrypoint():
                self._last_counts(one)
                if one.command.shell and not state.settings.shell:
                    message = "JSON arguments recommended for {} to prevent unintended behavior related to OS signals"
                    self._report.add("JSONArgsRecommended", one, message.format(name_of(one)))
            case Healthcheck():
                self._last_counts(one)
            case Workdir() if isinstance(expanded, Workdir):
                self._workdir(one, expanded.path)
            case Expose():
                self._expose(state, one)
            case Copy(origin="") | Add() if isinstance(expanded, Transfer):
                self._transfer(one, expanded)

    def _expanded(self, state: StageState, one: Instruction) -> Instruction:
        """`one` expanded, as far as it can be; on the way, the variables in it are looked at."""
        try:
            return one.expanded(Expander(state.variables.get, self._escape, lambda name: self._unset(state, one, name)))
        except DockerfileError:
            return one  # told by whoever expands it in earnest

    def _unset(self, state: StageState, one: Instruction, name: str) -> None:
        if self._blind or name in self._declared or name in _NO_ENV:
            return
        near = self._report.nearest(name, state.variables)
        message = f"Usage of undefined variable '${name}'" + (f" (did you mean ${near}?)" if near else "")
        self._report.add("UndefinedVar", one, message)

    def _arg(self, state: StageState, one: Arg) -> None:
        values = state.variables
        for declaration in one.declarations:
            self._secret(one, declaration.key)
            if declaration.default is not None:
                expander = Expander(values.get, self._escape, lambda name: self._unset(state, one, name))
                try:
                    values[declaration.key] = expander.text(declaration.default)
                except ExpansionError:
                    values[declaration.key] = ""
            self._declared.add(declaration.key)

    def _pairs(self, one: Env | Label) -> None:
        name = name_of(one)
        for pair in one.pairs:
            if pair.legacy:
                message = f'"{name} key=value" should be used instead of legacy "{name} key value" format'
                self._report.add("LegacyKeyValueFormat", one, message)
            if isinstance(one, Env):
                self._secret(one, pair.key)

    def _secret(self, one: Instruction, key: str) -> None:
        if _SECRET.search(key) and not _HARMLESS.search(key):
            message = f'Do not use ARG or ENV instructions for sensitive data ({one.name} "{key}")'
            self._report.add("SecretsUsedInArgOrEnv", one, message)

    def _last_counts(self, one: Instruction) -> None:
        """The finding points to the one before, for that is the one without effect."""
        before = self._once.get(one.name)
        if before:
            message = (
                f"Multiple {name_of(one)} instructions should not be used in the same stage because only the last one"
                " will be used"
            )
            self._report.add("MultipleInstructionsDisallowed", one, message, before.span)
        self._once[one.name] = one

    def _workdir(self, one: Workdir, path: str) -> None:
        if not self._workdir_set and not path.startswith("/"):
            message = f'Relative workdir "{path}" can have unexpected results if the base image changes'
            self._report.add("WorkdirRelativePath", one, message)
        self._workdir_set = True

    def _expose(self, state: StageState, one: Expose) -> None:
        expander = Expander(state.variables.get, self._escape)
        try:
            words = [word for port in one.ports for word in expander.words(port)]
        except ExpansionError:
            return
        for word in words:
            protocol = word.partition("/")[2]
            if protocol != protocol.lower():
                message = f"Defined protocol '{word}' in EXPOSE instruction should be lowercase"
                self._report.add("ExposeProtoCasing", one, message)
            if ":" in word:
                message = f"EXPOSE instruction should not define an IP address or host-port mapping, found '{word}'"
                self._report.add("ExposeInvalidFormat", one, message)

    def _transfer(self, one: Instruction, expanded: Transfer) -> None:
        """A `!` rule may bring back anything: what such a file leaves out is not told before it is tried."""
        if self._ignore.has_again:
            return
        for source in expanded.sources:
            if not _REMOTE.match(source) and self._is_ignored(path := posixpath.normpath(source)):
                word = "Add" if isinstance(one, Add) else "Copy"
                message = f'Attempting to {word} file "{path}" that is excluded by .dockerignore'
                self._report.add("CopyIgnoredFile", one, message)

    def _is_ignored(self, path: str) -> bool:
        inside = path.lstrip("/")
        if inside in ("", "."):
            return any(rule.pattern in _WHOLE for rule in self._ignore.rules)
        return self._ignore.ignores(inside)
