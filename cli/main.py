"""The command tree. Each command lives in a module of its own, which is imported when the command is used."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

import click

from cli.spelling import respell

Table = dict[str, tuple[str, str]]

# Sections of `lamella help`, in the order they are shown: name → (module:attribute, the line that help shows).
SECTIONS: dict[str, Table] = {
    "Build and move": {
        "build": ("cli.build:build", "Build an image from a Dockerfile"),
        "push": ("cli.push:push", "Upload an image to a registry"),
        "pull": ("cli.pull:pull", "Download an image from a registry"),
        "save": ("cli.save:save", "Write images to a tar archive"),
        "load": ("cli.load:load", "Bring in images from an archive"),
        "import": ("cli.importing:import_", "Make an image of a root file system's tar"),
        "login": ("cli.login:login", "Log in to a registry"),
        "logout": ("cli.login:logout", "Log out from a registry"),
        "registry": ("cli.registry:registry", "Serve images to others"),
    },
    "Images": {
        "images": ("cli.images:images", "List images"),
        "tag": ("cli.tag:tag", "Give an image another name"),
        "rmi": ("cli.rmi:rmi", "Untag images, and remove those without a name"),
        "history": ("cli.history:history", "Show how an image came to be"),
        "image": ("cli.image:image", "Manage images"),
        "builder": ("cli.builder:builder", "Manage builds and their cache"),
        "fsck": ("cli.fsck:fsck", "Check that everything in the store is whole"),
    },
    "Containers": {
        "run": ("cli.run:run", "Run a command in a new container"),
        "create": ("cli.create:create", "Create a container without starting it"),
        "start": ("cli.start:start", "Start created or stopped containers"),
        "stop": ("cli.stop:stop", "Stop running containers"),
        "restart": ("cli.restart:restart", "Stop containers and start them again"),
        "kill": ("cli.kill:kill", "Send a signal to running containers"),
        "pause": ("cli.pause:pause", "Let running containers stand still"),
        "unpause": ("cli.pause:unpause", "Let paused containers go on"),
        "rm": ("cli.rm:rm", "Remove containers"),
        "ps": ("cli.ps:ps", "List containers"),
        "rename": ("cli.rename:rename", "Give a container another name"),
        "update": ("cli.update:update", "Change the limits and the restart policy of containers"),
        "top": ("cli.top:top", "Show the processes of a container"),
        "stats": ("cli.stats:stats", "Show what containers use"),
        "port": ("cli.port:port", "Show what ports of a container are published, and where"),
        "logs": ("cli.logs:logs", "Show what a container has written"),
        "exec": ("cli.exec:exec_", "Run a command in a running container"),
        "attach": ("cli.attach:attach", "Join a running container's input and output"),
        "wait": ("cli.wait:wait", "Wait for containers to end and print their exit codes"),
        "cp": ("cli.cp:cp", "Copy files between a container and this machine"),
        "diff": ("cli.diff:diff", "Show what a container has changed in its files"),
        "commit": ("cli.commit:commit", "Make an image of a container"),
        "export": ("cli.export:export", "Write a container's files as a tar archive"),
        "container": ("cli.container:container", "Manage containers"),
        "healthcheck": ("cli.healthcheck:healthcheck", "Check how containers are"),
        "volume": ("cli.volume:volume", "Manage volumes"),
    },
    "Networks": {
        "network": ("cli.network:network", "Manage networks"),
    },
    "lamella": {
        "inspect": ("cli.inspect:inspect", "Show everything about images and containers"),
        "system": ("cli.system:system", "Manage the store as a whole"),
        "generate": ("cli.generate:generate", "Write files for other programs"),
        "events": ("cli.events:events", "Show what happens to containers, images, networks and volumes"),
        "info": ("cli.info:info", "Show what this installation is and can do"),
        "version": ("cli.version:version", "Show the version"),
        "completion": ("cli.completion:completion", "Print a script that completes commands in your shell"),
        "help": ("cli.help:help_", "Show this page, or the help of a command"),
    },
}
# Docker's commands that lamella does not have, and what helps meanwhile.
NOT_THERE = {
   
    "search": "",
    "compose": "", "buildx": "lamella build, lamella builder", "manifest": "",
    "context": "", "plugin": "", "swarm": "", "service": "", "stack": "", "node": "", "secret": "", "config": "",
}  # fmt: skip
COMMANDS = {name: entry for section in SECTIONS.values() for name, entry in section.items()}


def load(target: str) -> click.Command:
    """The command behind `module:attribute`."""
    module, _, attribute = target.partition(":")
    command = getattr(importlib.import_module(module), attribute)
    assert isinstance(command, click.Command)
    return command


class LazyGroup(click.Group):
    """A group whose commands are named in a table and imported only when asked for."""

    def __init__(
        self, *args: object, table: Table | None = None, hidden: Table | None = None, **kwargs: object
    ) -> None:
        """`hidden`: commands that are answered and not shown, such as Docker's other spellings."""
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.table = table or {}
        self.hidden_table = hidden or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self.table.get(cmd_name) or self.hidden_table.get(cmd_name)
        return load(entry[0]) if entry else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        known = {**self.table, **self.hidden_table}
        if args and args[0] not in known and not args[0].startswith("-") and not ctx.resilient_parsing:
            ctx.fail(self._unknown(args[0]))
        name, command, rest = super().resolve_command(ctx, args)
        return name, command, respell(command, rest) if command else rest

    def _unknown(self, name: str) -> str:
        import difflib

        if name in NOT_THERE:
            instead = NOT_THERE[name]
            return f"the command {name!r} is not there yet" + (f"; until then: {instead}" if instead else "")
        close = difflib.get_close_matches(name, self.table, 1)
        return f"unknown command {name!r}" + (f"; did you mean {close[0]!r}?" if close else "")

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self.table.items()])


class Root(LazyGroup):
    """The top group: its help shows the commands by section."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, section in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, text) for name, (_, text) in section.items()])


@click.group(
    cls=Root,
    table=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Every command has its own help with examples: lamella COMMAND --help",
)
@click.option(
    "-v", "--version", is_flag=True, is_eager=True, expose_value=False, callback=lambda ctx, _, given: _version(ctx, given),
    help="Show the version.",
)  # fmt: skip
@click.option("--root", metavar="DIR", envvar="LAMELLA_ROOT", help="Where images and containers are kept.")
@click.option(
    "--no-sync", is_flag=True, envvar="LAMELLA_NO_SYNC", help="Do not wait for the disk: for throw-away machines."
)
@click.option("--debug", is_flag=True, envvar="LAMELLA_DEBUG", help="Show tracebacks and log what is done.")
@click.pass_context
def lamella(ctx: click.Context, root: str | None, no_sync: bool, debug: bool) -> None:
    """Build, store, serve, push, pull and run container images, without a daemon."""
    from cli.settings import Settings

    ctx.obj = Settings.read(root=root, sync=not no_sync, debug=debug)


def _version(ctx: click.Context, given: bool) -> None:
    if given:
        from core.version import VERSION

        click.echo(f"lamella version {VERSION}")
        ctx.exit()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    from cli.exit import guarded

    return guarded(lamella, argv)
