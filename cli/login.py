"""`lamella login` and `lamella logout`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from cli.transfer import tls_verify_option
from core.errors import InvalidInput

if TYPE_CHECKING:
    from cli.settings import Settings


@click.command(short_help="Log in to a registry")
@click.argument("server", default="docker.io", metavar="[SERVER]")
@click.option("-u", "--username", metavar="NAME", help="Who you are.")
@click.option("-p", "--password", metavar="TEXT", help="Your password or token; others may see it in the process list.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@tls_verify_option
@click.pass_obj
def login(
    settings: Settings, server: str, username: str | None, password: str | None, password_stdin: bool, tls_verify: bool
) -> None:
    """Log in to a registry: Docker Hub, unless SERVER names another.

    The credentials are checked first, then kept where Docker keeps them (~/.docker/config.json, or the credential helper
    that is set up there), so that both programs know them.

    \b
    Examples:
      lamella login localhost:5000
      echo "$TOKEN" | lamella login -u ann --password-stdin registry.example.com
    """
    from cli.wiring import open_client

    if password_stdin and (password or not username):
        raise click.UsageError("--password-stdin needs --username, and excludes --password")
    if password:
        click.echo("WARNING: --password is visible to others on this machine: use --password-stdin", err=True)
    name = _host(server)
    user = username or _ask("Username")
    secret = sys.stdin.read().rstrip("\r\n") if password_stdin else password or _ask("Password", hidden=True)
    if not user or not secret or ":" in user:
        raise InvalidInput("the user name and the password must not be empty, and a user name holds no colon")
    with open_client(settings, tls_verify=tls_verify) as client:
        place = client.login(name, user, secret)
    if place.endswith(".json"):
        click.echo(
            f"WARNING: the credentials are kept unencrypted in {place}; a credential helper would hide them", err=True
        )
    click.echo("Login Succeeded")


@click.command(short_help="Log out from a registry")
@click.argument("server", default="docker.io", metavar="[SERVER]")
@click.pass_obj
def logout(settings: Settings, server: str) -> None:
    """Forget the credentials for a registry: Docker Hub, unless SERVER names another.

    \b
    Example:
      lamella logout localhost:5000
    """
    from cli.wiring import open_client

    name = _host(server)
    with open_client(settings) as client:
        had = client.logout(name)
    click.echo(f"Removing login credentials for {name}" if had else f"Not logged in to {name}")


def _host(server: str) -> str:
    """`https://HOST/v1/` and `HOST` mean the same registry."""
    host = server.partition("://")[2] if "://" in server else server
    host = host.partition("/")[0].lower()
    if not host or any(c.isspace() or c in "@?#" for c in host):
        raise InvalidInput(f"invalid registry {server!r}", "write it as HOST or HOST:PORT")
    return "docker.io" if host in ("index.docker.io", "registry-1.docker.io") else host


def _ask(what: str, *, hidden: bool = False) -> str:
    if not sys.stdin.isatty():
        raise InvalidInput(
            f"no {what.lower()} was given", "use --username and --password-stdin where there is no terminal"
        )
    return str(click.prompt(what, hide_input=hidden, err=True))
