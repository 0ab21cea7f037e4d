"""`lamella system migrate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cli.settings import Settings
    from core.schema import Schema


@click.command(short_help="Bring databases of an older lamella up to date")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option(
    "--data", type=click.Path(path_type=Path), metavar="DIR",
    help="Where `registry serve` keeps its images.  [default: ROOT/registry]",
)  # fmt: skip
@click.pass_obj
def migrate(settings: Settings, dry_run: bool, data: Path | None) -> None:
    """Bring databases of an older lamella up to date, and keep a copy of how they were.

    Every command does that to the store it opens, without a copy: whoever wants one runs this first. The copy lies beside the
    database; to go back, put it in the database's place (with the file's -wal and -shm removed) while nothing else runs.

    \b
    Examples:
      lamella system migrate --dry-run
      lamella system migrate
    """
    from core.schema import migrate as bring_up

    schemas = _schemas(settings, data)
    for schema in schemas:
        if not schema.behind:
            click.echo(f"{schema.path}: {_standing(schema)}")
        elif dry_run:
            click.echo(f"{schema.path}: would go from version {schema.version} to {schema.newest}")
        else:
            kept = bring_up(schema, copy=schema.owner != "files")  # that one may be lost at any time
            click.echo(f"{schema.path}: went from version {schema.version} to {schema.newest}{_copied(kept)}")
    if not any(schema.behind for schema in schemas):
        click.echo("nothing to do")


def _schemas(settings: Settings, data: Path | None) -> list[Schema]:
    """All of them, looked at before any is changed: one that is too new stops everything."""
    from core.schema import look
    from registry.server.metadata import schema as registry
    from store import catalog, file_digests

    return [
        look(settings.root / "catalog.db", catalog.OWNER, catalog.MIGRATIONS),
        look(settings.root / "files.db", file_digests.OWNER, file_digests.MIGRATIONS),
        look((data or settings.root / "registry") / "registry.db", registry.OWNER, registry.MIGRATIONS),
    ]


def _standing(schema: Schema) -> str:
    return "not there" if schema.version is None else f"version {schema.version}, the newest"


def _copied(kept: Path | None) -> str:
    return f"; a copy of before is {kept}" if kept else ""
