"""Stories: scripted image commands that two engines run, and what each says, in words that can be compared.

A story is a text of sections (`== name`) with one command a line:

    base = images -q --no-trunc base:1     what it prints is an ID, called `base` from here on
    rmi @base                              its first 12 digits; @base.6 its first 6, @@base all of it
    load < base.tar                        with a file as stdin; `> file` sends stdout to one
    build -q -t app:1 contexts/app

A step is known by its section and number: `rmi.3`.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

Words = Callable[..., Sequence[str]]


class Step(NamedTuple):
    """One command. `name` is what the ID that it prints is called."""

    key: str
    text: str
    words: list[str]
    name: str = ""
    stdin: str = ""
    stdout: str = ""


class Answer(NamedTuple):
    """What an engine said to one step, normalised, a line an entry: `exit N`, then `out …` and `err …`."""

    key: str
    text: str
    lines: list[str]


def parse(story: str) -> list[Step]:
    """The steps of a story."""
    steps: list[Step] = []
    section, number = "", 0
    for line in story.splitlines():
        if line.startswith("== "):
            section, number = line[3:].strip(), 0
        elif line.strip() and not line.startswith("#"):
            number += 1
            steps.append(_step(f"{section}.{number}", line.strip()))
    return steps


def _step(key: str, text: str) -> Step:
    found = re.match(r"(\w+) = (.*)", text)
    words = shlex.split(found[2] if found else text)
    files = {}
    for sign in "<>":
        if sign in words:
            place = words.index(sign)
            files[sign] = words[place + 1]
            del words[place : place + 2]
    return Step(key, text, words, found[1] if found else "", files.get("<", ""), files.get(">", ""))


class Teller:
    """Tells a story to one engine: runs its steps in `directory`, and gives IDs the story's names."""

    def __init__(
        self, command: Sequence[str], env: Mapping[str, str], directory: Path, registry: str, names: Mapping[str, str]
    ) -> None:
        """`names`: what IDs (hex digits) that are known beforehand are called."""
        self._command = command
        self._env = env
        self._directory = directory
        self._registry = registry
        self._ids = dict(names)
        self._typed: dict[str, str] = {}  # beginnings of IDs that the story has typed → what they are called

    def tell(self, steps: Sequence[Step]) -> Iterator[Answer]:
        for step in steps:
            yield self._run(step)

    def _run(self, step: Step) -> Answer:
        words = [self._expanded(word) for word in step.words]
        with self._open(step.stdin or "/dev/null", "rb") as stdin, self._open(step.stdout or "/dev/null", "wb") as out:
            done = subprocess.run(
                [*self._command, *words], stdin=stdin, stdout=out if step.stdout else subprocess.PIPE,
                stderr=subprocess.PIPE, cwd=self._directory, env=self._env, timeout=60,
            )  # fmt: skip
        said, complained = (done.stdout or b"").decode(), done.stderr.decode()
        self._step, self._new = step.key, 0
        if step.name and said:
            self._ids[said.split()[0].removeprefix("sha256:")] = step.name
        out_lines, err_lines = self._lines("out", said), self._lines("err", plain(complained))
        return Answer(step.key, step.text, [f"exit {done.returncode}", *_ordered(step.words, out_lines), *err_lines])

    def _open(self, name: str, mode: str):  # type: ignore[no-untyped-def]
        return (self._directory / name).open(mode)

    def _expanded(self, word: str) -> str:
        word = word.replace("$registry", self._registry)
        return re.sub(r"^(.*\w@|)(@@?)(\w+)(?:\.(\d+))?$", self._id, word)

    def _id(self, found: re.Match[str]) -> str:
        full = next(id for id, name in self._ids.items() if name == found[3])
        if found[2] == "@@":
            return f"{found[1]}sha256:{full}"
        short = full[: int(found[4] or 12)]
        if found[4]:
            self._typed[short] = f"<{found[3]}.{found[4]}>"
        return found[1] + short

    def _lines(self, stream: str, text: str) -> list[str]:
        text = text.replace(self._registry, "$registry").replace(str(self._directory), "$here")
        text = re.sub(r"\b(?:[0-9a-f]{64}|[0-9a-f]{12})\b", self._named, text)
        for typed, name in self._typed.items():
            text = re.sub(rf"\b{typed}\b", name, text)
        return [f"{stream} {line}".rstrip() for line in undated(text).splitlines()]

    def _named(self, found: re.Match[str]) -> str:
        text = found[0]
        for id, name in self._ids.items():
            if id.startswith(text):
                return f"<{name}>"
        self._new += 1
        self._ids[text] = f"{self._step} {'abcdefghij'[self._new - 1]}"  # by where it is first seen
        return f"<{self._ids[text]}>"


def _ordered(words: Sequence[str], lines: list[str]) -> list[str]:
    """The lines in an order that says something: Docker names the tags of an image, the images of
    one second, those of a prune, and the labels in a listing in none."""
    if "prune" in words:
        return sorted(
            lines, key=lambda line: (not line.startswith("out deleted: "), not line.startswith("out untagged: "), line)
        )
    if words[0] == "load":
        return sorted(lines, key=_of_load)
    if "ls" in words and any("{{.Labels}}" in word for word in words):
        return [_LABELS.sub(lambda found: ",".join(sorted(found[0].split(","))), line) for line in lines]
    if words[0] == "top":
        return [re.sub(r" {2,}", "  ", re.sub(r"\b\d+\b", "N", line)) for line in lines]
    if words[0] not in ("images", "image"):
        return lines
    place: dict[str, int] = {}
    for number, line in enumerate(lines):
        place.setdefault(_image_in(line) or line, number)
    return sorted(lines, key=lambda line: (place[_image_in(line) or line], line))


def _image_in(line: str) -> str:
    """The image that a line of a listing is about, which is its last ID; images of the same second count as one."""
    return "just now" if "just now" in line else (re.findall(r"<[^<>]+>", line.replace("<none>", "")) or [""])[-1]


_LABELS = re.compile(r"\w+=[^,|]*(?:,\w+=[^,|]*)+")
_AGE = r"(Less than a second|\d+ seconds?|About a minute|\d+ minutes)"
_JUST = re.compile(rf"{_AGE} ago")
_UP = re.compile(rf"\bUp {_AGE}")
_RECLAIMED = re.compile(r"(?<=^Total reclaimed space: )(?!0B$).*", re.MULTILINE)
_SCRATCH = re.compile(r"/\S*/docker-import-\d+")
_SUM = re.compile(r"\bfile:[0-9a-f]{12,}")
_LONG = re.compile(r"(About an hour|\d+ (hours|days|weeks|months|years)) ago")


def _of_load(line: str) -> tuple[bool, bool, str]:
    """The names that lose their image, those that are loaded, then errors as they are."""
    error = line.startswith("err ") or line == "err"
    return error, line.startswith("out Loaded"), "" if error else line.partition(" already exists")[0]


def undated(text: str) -> str:
    """`text` without ages, how wide they and IDs make a column, where docker unpacks, what its builder calls the content
    of a COPY, and how many bytes a prune gave back.

    Docker adds up the sizes of files there; lamella says what the disk gave back, which depends on the disk.
    """
    text = _SUM.sub("file:sum", _SCRATCH.sub("$scratch", _RECLAIMED.sub("some", text)))
    dated = _LONG.sub("long ago", _JUST.sub("just now", _UP.sub("Up a while", text)))
    return re.sub(r" {3,}", "   ", dated) if "<" in dated or dated != text else text


def plain(errors: str) -> str:
    """Error messages without what each engine writes around every one of them.

    Docker's `Error response from daemon: ` (after which `run` puts a full stop), `Error: `, and lamella's name and hint (an indented line); whether the first
    letter is a capital.
    """
    lines = []
    for line in errors.splitlines():
        if line.startswith("docker: Error response from daemon: "):
            line = line.removeprefix("docker: ").removesuffix(".")
        bare = re.sub(r"^(Error response from daemon: |Error: |lamella: )+", "", line)
        if bare != line:
            lines.append(bare[:1].lower() + bare[1:])
        elif not line.startswith(("  ", 'time="')):  # what the client logs for itself
            lines.append(line)
    return "\n".join(lines)


def written(answers: Sequence[Answer]) -> str:
    """Answers as a text to keep."""
    return (
        "\n".join("\n".join([f"{one.key}: {one.text}", *(f"  {line}" for line in one.lines)]) for one in answers) + "\n"
    )


def read(text: str) -> list[Answer]:
    """What `written` wrote."""
    answers: list[Answer] = []
    for line in text.splitlines():
        if line.startswith("  "):
            answers[-1].lines.append(line[2:])
        else:
            key, _, command = line.partition(": ")
            answers.append(Answer(key, command, []))
    return answers


def difference(theirs: Answer, ours: Answer) -> list[str]:
    """`-` what only they say, `+` what only we say; empty where both say the same in the same order."""
    import difflib

    lines = difflib.ndiff(theirs.lines, ours.lines)
    return [f"{line[0]} {line[2:]}".rstrip() for line in lines if line[0] in "+-"]


class Explained(NamedTuple):
    """Why a step differs, and how exactly."""

    kind: str
    why: str
    lines: list[str]


def explanations(text: str) -> tuple[dict[str, str], dict[str, Explained]]:
    """A file of differences: `[kind] why` lines first, then steps as `key kind: why` with the differing lines below."""
    kinds: dict[str, str] = {}
    steps: dict[str, Explained] = {}
    last = ""
    for line in text.splitlines():
        if line.startswith("["):
            kind, _, why = line[1:].partition("] ")
            kinds[kind] = why
        elif line.startswith("  "):
            steps[last].lines.append(line[2:])
        elif line and not line.startswith("#"):
            head, _, why = line.partition(": ")
            last, _, kind = head.partition(" ")
            assert last not in steps, f"{last} is explained twice"
            steps[last] = Explained(kind, why, [])
    return kinds, steps
