"""Flags as Docker's scripts spell them, put into words that click reads: `--rm=false`, `-f=Dockerfile`, `-dp=80:80`."""

from __future__ import annotations

import click

_TRUE = frozenset(("1", "t", "T", "true", "TRUE", "True"))
_FALSE = frozenset(("0", "f", "F", "false", "FALSE", "False"))


def respell(command: click.Command, words: list[str]) -> list[str]:
    """`words` with each `=` that click does not know replaced. What is no flag of `command`'s own stays as it is: values,
    what comes after `--`, and for `run`, `create` and `exec` all that belongs to the container."""
    if not any("=" in word for word in words):
        return words
    options = {name: option for option in command.params if isinstance(option, click.Option) for name in option.opts}
    anywhere = command.context_settings.get("allow_interspersed_args", command.allow_interspersed_args)
    out: list[str] = []
    at = 0
    while at < len(words) and words[at] != "--":
        word = words[at]
        if len(word) > 1 and word[0] == "-":
            respelt, takes_next = _flag(options, word)
            out += respelt
            if takes_next:
                at += 1
                out += words[at : at + 1]
        elif anywhere:
            out.append(word)
        else:
            break
        at += 1
    return [*out, *words[at:]]


def _flag(options: dict[str, click.Option], word: str) -> tuple[list[str], bool]:
    """The words for one flag, or for a cluster of short ones, and whether its value is the word after it."""
    name, equals, value = word.partition("=")
    names = [name] if word.startswith("--") else [f"-{letter}" for letter in name[1:]]
    known = [options[name] for name in names if name in options]
    if len(known) < len(names) or not all(map(_is_switch, known[:-1])):  # unknown, or a value follows: -eNAME=1
        return [word], False
    if not equals:
        return [word], not _is_switch(known[-1])
    return [*names[:-1], *_with_value(known[-1], names[-1], value)], False


def _with_value(option: click.Option, name: str, value: str) -> list[str]:
    if not _is_switch(option):
        return [name, value]
    if value in _TRUE:
        return [name]
    if value not in _FALSE:
        return [f"{name}={value}"]  # click complains
    if not option.secondary_opts:
        option.secondary_opts = [f"--not-{option.name}"]  # so that the last one of several wins, as in Docker
    return [option.secondary_opts[0]]


def _is_switch(option: click.Option) -> bool:
    return option.is_flag or option.count


class DockerCommand(click.Command):
    """A command that knows what to do about those of Docker's flags that it does not have (`cli.foreign`)."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, list(args))
        except click.NoSuchOption:
            from cli.foreign import add_foreign

            if not add_foreign(self, ctx.command_path):
                raise
        try:
            return super().parse_args(ctx, respell(self, args))
        except click.NoSuchOption as error:
            # Nothing is proposed: it might be what lamella does not have.
            raise click.UsageError(f"No such option {error.option_name!r}.", ctx) from None
