"""systemd units for containers: their text, from values alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from core.value import Value

POLICIES = ("no", "on-success", "on-failure", "on-abnormal", "on-watchdog", "on-abort", "always")
GRACE = 60  # seconds that systemd waits longer than `stop` does
# What a unit says of the container itself; each with the number of words that follow it.
OWN = {"-d": 0, "--detach": 0, "--rm": 0, "--name": 1, "--restart": 1, "--cidfile": 1, "-a": 1, "--attach": 1}


class Unit(Value):
    """What a unit runs. `begin` and `end` are command lines, `clear` is one that goes before the first and after the second;
    `stop_timeout` is in seconds, -1 for ever."""

    description: str
    root: str
    begin: Sequence[str]
    end: Sequence[str]
    clear: Sequence[str] = ()
    restart: str = "on-failure"
    stop_timeout: int = 10
    directory: str = ""

    def text(self) -> str:
        """As systemd.unit(5) and systemd.service(5) have it; it comes up again when the machine does."""
        limit = "infinity" if self.stop_timeout < 0 else str(self.stop_timeout + GRACE)
        lines = [
            "[Unit]", f"Description={self.description.replace('%', '%%')}", "Wants=network-online.target",
            "After=network-online.target", f"RequiresMountsFor={quoted(self.root)}", "",
            "[Service]", "Type=notify", "NotifyAccess=all", "Environment=LAMELLA_SYSTEMD_UNIT=%n",
            *([f"WorkingDirectory=-{self.directory.replace('%', '%%')}"] if self.directory else []),
            f"Restart={self.restart}", f"TimeoutStopSec={limit}", "KillMode=mixed", "Delegate=yes",
            *([f"ExecStartPre=-{command(self.clear)}"] if self.clear else []),
            f"ExecStart={command(self.begin)}", f"ExecStop={command(self.end)}",
            f"ExecStopPost=-{command(self.clear or self.end)}", "",
            "[Install]", "WantedBy=multi-user.target default.target", "",
        ]  # fmt: skip
        return "\n".join(lines)


def at_boot(program: Sequence[str], root: str) -> str:
    """The unit that starts all containers whose restart policy asks for it, once, when the machine comes up."""
    lines = [
        "[Unit]", "Description=lamella containers with a restart policy", "Wants=network-online.target",
        "After=network-online.target", f"RequiresMountsFor={quoted(root)}", "",
        "[Service]", "Type=oneshot", "RemainAfterExit=yes", "KillMode=process",
        f"ExecStart={command([*program, 'start', '--all'])}", "",
        "[Install]", "WantedBy=multi-user.target default.target", "",
    ]  # fmt: skip
    return "\n".join(lines)


def anew(words: Sequence[str], switches: Iterable[str]) -> tuple[list[str], list[str]]:
    """The flags, and the image with its command, of `run` or `create` WORDS, less what a unit says itself.

    `switches` are the flags that take no value. Raises ValueError where there is no image.
    """
    bare, rest, flags = set(switches), list(words), list[str]()
    while rest and rest[0].startswith("-"):
        word = rest.pop(0)
        name, equals, _ = word.partition("=")
        if not word.startswith("--") and len(word) > 2:
            _cluster(word, bare, rest, flags)
            continue
        value = [] if equals or name in bare else rest[:1]
        del rest[: len(value)]
        if name not in OWN:
            flags += [word, *value]
    if not rest:
        raise ValueError("no image")
    return flags, rest


def _cluster(word: str, bare: set[str], rest: list[str], flags: list[str]) -> None:
    """`-itd`, or `-eNAME=1`: letters up to one that takes a value, which is what follows."""
    for at, letter in enumerate(word[1:], 1):
        if f"-{letter}" in bare:
            flags += [] if f"-{letter}" in OWN else [f"-{letter}"]
            continue
        value = word[at + 1 :].removeprefix("=") or (rest.pop(0) if rest else "")
        flags += [] if f"-{letter}" in OWN else [f"-{letter}", value]
        return


def command(words: Sequence[str]) -> str:
    """A command line as ExecStart has it: nothing in it is expanded."""
    return " ".join(quoted(word.replace("$", "$$")) for word in words)


def quoted(word: str) -> str:
    """One word of a unit (systemd.syntax(7), specifiers)."""
    word = word.replace("%", "%%")
    if word and not set(word) & set(" \t\n\"'\\;"):
        return word
    for plain, escape in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\t", "\\t")):
        word = word.replace(plain, escape)
    return f'"{word}"'
