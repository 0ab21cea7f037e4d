"""The instructions of a Dockerfile as frozen values.

Every text field is as it was written: variables are not expanded yet and quotes are still there. `expanded` gives the
same instruction with those fields expanded that the language expands (reference: Dockerfile, "Environment
replacement"); what it leaves alone (RUN's command, CMD, ENTRYPOINT, SHELL, HEALTHCHECK, ...) is final from the start.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal, Self

from builder.dockerfile.expand import Expander, ExpansionError
from builder.dockerfile.heredoc import Heredoc
from builder.dockerfile.mounts import Mount
from builder.dockerfile.source import DockerfileError, Finding, Span
from core.value import Value, field, replace


class Instruction(Value):
    """`text` is the logical line: continuations joined, comments dropped, the instruction's name included; heredoc bodies
    are not part of it. `source` are the original lines, for messages."""

    span: Span
    text: str
    source: str

    name: ClassVar[str] = ""

    def expanded(self, expander: Expander) -> Self:
        """With its variables replaced. Raises DockerfileError, pointing at this instruction."""
        try:
            return self._expanded(expander)
        except ExpansionError as error:
            raise self.error(error.message, error.hint) from None

    def _expanded(self, expander: Expander) -> Self:
        return self

    def error(self, what: str, hint: str | None = None) -> DockerfileError:
        """An error that points at this instruction, to be raised by whoever finds out later that it cannot be done."""
        return DockerfileError(what, self.span, self.source, hint)


class Command(Value):
    """What RUN, CMD and ENTRYPOINT start. Exec form: `words` is argv. Shell form: one word, the line for the shell, which
    may be empty; only the exec form `[]` has no words."""

    words: tuple[str, ...]
    shell: bool

    def argv(self, shell: tuple[str, ...]) -> tuple[str, ...]:
        """The words to execute where SHELL is `shell`."""
        return (*shell, *self.words) if self.shell else self.words


class From(Instruction):
    """`image` may be `scratch`, an earlier stage or a reference; `stage` is the lower-case name after AS, or empty."""

    image: str
    stage: str = ""
    platform: str = ""

    name: ClassVar[str] = "FROM"

    def _expanded(self, expander: Expander) -> Self:
        return replace(self, image=expander.text(self.image), platform=expander.text(self.platform))


Network = Literal["default", "none", "host"]
Security = Literal["sandbox", "insecure"]


class Run(Instruction):
    """The command text is never expanded, nor are its heredocs; the mounts are (see Mount)."""

    command: Command
    mounts: tuple[Mount, ...] = ()
    network: Network = "default"
    security: Security = "sandbox"
    devices: tuple[str, ...] = ()
    heredocs: tuple[Heredoc, ...] = ()

    name: ClassVar[str] = "RUN"

    @property
    def script(self) -> Heredoc | None:
        """The heredoc that is the whole command (`RUN <<EOF`): its body is the script of the shell, or, where it starts
        with `#!`, an executable file."""
        return self.heredocs[0] if len(self.heredocs) == 1 and self.heredocs[0].is_all_of(self.command.words) else None

    @property
    def shell_text(self) -> str:
        """The shell form's line as the shell gets it: with all heredoc bodies, or the body alone where that is all."""
        line = "".join(self.command.words)
        if self.script:
            return self.script.body
        return "\n".join([line, *(doc.content + doc.name for doc in self.heredocs)]) if self.heredocs else line

    def _expanded(self, expander: Expander) -> Self:
        return replace(self, mounts=tuple(mount.expanded(expander) for mount in self.mounts)) if self.mounts else self


class Transfer(Instruction):
    """What COPY and ADD share. `heredocs` are sources written in the Dockerfile itself: files of mode 0644, named by their
    word. `owner` (--chown), `mode` (--chmod) are empty when not given; `exclude` are never expanded."""

    sources: tuple[str, ...]
    destination: str
    heredocs: tuple[Heredoc, ...] = ()
    owner: str = ""
    mode: str = ""
    link: bool = False
    exclude: tuple[str, ...] = ()

    def _expanded(self, expander: Expander) -> Self:
        return replace(
            self, sources=tuple(map(expander.text, self.sources)), destination=expander.text(self.destination),
            owner=expander.text(self.owner), mode=expander.text(self.mode),
            heredocs=tuple(doc.expanded(expander) for doc in self.heredocs),
        )  # fmt: skip


class Copy(Transfer):
    """`origin` (--from) is a stage's name or number, a named context or an image; empty means the build context."""

    origin: str = ""
    parents: bool = False

    name: ClassVar[str] = "COPY"


class Add(Transfer):
    """`unpack` and `keep_git` are None when not given."""

    checksum: str = ""
    keep_git: bool | None = None
    unpack: bool | None = None

    name: ClassVar[str] = "ADD"

    def _expanded(self, expander: Expander) -> Self:
        return replace(Transfer._expanded(self, expander), checksum=expander.text(self.checksum))


class Pair(Value):
    """One `key=value`; `legacy` when it was written `KEY value`."""

    key: str
    value: str
    legacy: bool = False

    def expanded(self, expander: Expander) -> Pair:
        return Pair(expander.text(self.key), expander.text(self.value), self.legacy)


class Env(Instruction):
    """All values see the environment as it was before this instruction."""

    pairs: tuple[Pair, ...]

    name: ClassVar[str] = "ENV"

    def _expanded(self, expander: Expander) -> Self:
        return replace(self, pairs=tuple(pair.expanded(expander) for pair in self.pairs))


class Label(Instruction):
    pairs: tuple[Pair, ...]

    name: ClassVar[str] = "LABEL"

    def _expanded(self, expander: Expander) -> Self:
        return replace(self, pairs=tuple(pair.expanded(expander) for pair in self.pairs))


class Declaration(Value):
    """One name of an ARG; `default` is None for a bare name, which is not the same as an empty default."""

    key: str
    default: str | None = None

    def expanded(self, expander: Expander) -> Declaration:
        default = None if self.default is None else expander.text(self.default)
        return Declaration(expander.text(self.key), default)


class Arg(Instruction):
    """Inside a stage all defaults see the variables from before the instruction; among the global ones (before the first
    FROM) each sees those before it, so there they are expanded one by one."""

    declarations: tuple[Declaration, ...]

    name: ClassVar[str] = "ARG"

    def _expanded(self, expander: Expander) -> Self:
        return replace(self, declarations=tuple(one.expanded(expander) for one in self.declarations))


class Cmd(Instruction):
    command: Command

    name: ClassVar[str] = "CMD"


class Entrypoint(Instruction):
    command: Command

    name: ClassVar[str] = "ENTRYPOINT"


class Shell(Instruction):
    words: tuple[str, ...]

    name: ClassVar[str] = "SHELL"


class Expose(Instruction):
    """As written; once expanded, `ports` are in the config's form: `80/tcp`, ranges spelled out, in order, each once."""

    ports: tuple[str, ...]

    name: ClassVar[str] = "EXPOSE"

    def _expanded(self, expander: Expander) -> Self:
        from builder.dockerfile.ports import exposed

        return replace(self, ports=exposed([word for port in self.ports for word in expander.words(port)]))


class Volume(Instruction):
    paths: tuple[str, ...]

    name: ClassVar[str] = "VOLUME"

    def _expanded(self, expander: Expander) -> Self:
        paths = tuple(map(expander.text, self.paths))
        if not all(paths):
            raise ExpansionError("VOLUME needs a path, and this one is empty")
        return replace(self, paths=paths)


class User(Instruction):
    """`user[:group]`, names or numbers."""

    user: str

    name: ClassVar[str] = "USER"

    def _expanded(self, expander: Expander) -> Self:
        return replace(self, user=expander.text(self.user))


class Workdir(Instruction):
    """Relative paths count from the WORKDIR before."""

    path: str

    name: ClassVar[str] = "WORKDIR"

    def _expanded(self, expander: Expander) -> Self:
        return replace(self, path=expander.text(self.path))


class Stopsignal(Instruction):
    """A name with or without SIG, or a number; checked once expanded."""

    signal: str

    name: ClassVar[str] = "STOPSIGNAL"

    def _expanded(self, expander: Expander) -> Self:
        from builder.dockerfile.signals import check_signal

        return replace(self, signal=check_signal(expander.text(self.signal)))


class Maintainer(Instruction):
    author: str

    name: ClassVar[str] = "MAINTAINER"


class Healthcheck(Instruction):
    """`test` as the config has it: `("NONE",)`, `("CMD", argv...)` or `("CMD-SHELL", line)`. Times in nanoseconds, 0 inherits."""

    test: tuple[str, ...]
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0

    name: ClassVar[str] = "HEALTHCHECK"


class Onbuild(Instruction):
    """`trigger` is stored in the config as text, heredoc bodies included; `parse_trigger` reads it again later."""

    trigger: str

    name: ClassVar[str] = "ONBUILD"


class Directives(Value):
    """The `# key=value` lines at the very top. `syntax` and `check` are empty when not given."""

    escape: str = "\\"
    syntax: str = ""
    check: str = ""


class StageSource(Value):
    """One FROM and what follows it."""

    start: From
    instructions: tuple[Instruction, ...]

    @property
    def name(self) -> str:
        """The name after AS in lower case, or empty."""
        return self.start.stage

    @property
    def base(self) -> str:
        """What FROM names, not expanded."""
        return self.start.image

    @property
    def platform(self) -> str:
        """The --platform of FROM, not expanded; empty when not given."""
        return self.start.platform

    @property
    def span(self) -> Span:
        """From the FROM to the last instruction's end."""
        last = self.instructions[-1] if self.instructions else self.start
        return Span(self.start.span.file, self.start.span.line, last.span.end_line)


class Dockerfile(Value):
    """A whole file. `global_args` stand before the first FROM and are seen by FROM lines only.

    `comments`: those directly above an instruction, without the `#`, by the line where it begins.
    """

    name: str
    directives: Directives
    global_args: tuple[Arg, ...]
    stages: tuple[StageSource, ...]
    findings: tuple[Finding, ...] = ()
    comments: Mapping[int, tuple[str, ...]] = field(default_factory=dict, hash=False)

    @property
    def escape(self) -> str:
        return self.directives.escape

    def description(self, span: Span, name: str) -> str:
        """What a comment directly above the FROM or ARG at `span` says of the stage or argument `name`; else empty."""
        start = f"{name} "
        lines = self.comments.get(span.line, ()) if name else ()
        return next((line.removeprefix(start) for line in lines if line.startswith(start)), "")

    def __iter__(self) -> Iterator[Instruction]:
        """Every instruction in the order of the file."""
        yield from self.global_args
        for stage in self.stages:
            yield stage.start
            yield from stage.instructions
