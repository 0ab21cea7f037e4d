"""`lamella system df`, also `lamella image df`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from cli.settings import Settings
    from images.usage import Part

HEADINGS = {
    "Type": "TYPE", "TotalCount": "TOTAL", "Active": "ACTIVE", "Size": "SIZE", "Reclaimable": "RECLAIMABLE",
    "Bytes": "BYTES", "ReclaimableBytes": "RECLAIMABLE BYTES",
}  # fmt: skip
SHOWN = ("Type", "TotalCount", "Active", "Size", "Reclaimable")


@click.command(short_help="Show what takes up the disk")
@click.option("--format", "template", metavar="FORMAT", help="json, 'table TEMPLATE', or a Go template.")
@click.option("-v", "--verbose", is_flag=True, help="Show each image, container and piece of cache.")
@click.pass_obj
def df(settings: Settings, template: str | None, verbose: bool) -> None:
    """Show what takes up the disk: blocks as `du` counts them, so that the sizes add up to what `du -s` says of the store.

    Images are their layers, unpacked. Blobs are configs, manifests and the compressed layers that came from elsewhere. Cache
    is what no image has as well. Temporary is what running commands write, and leftovers of killed ones. RECLAIMABLE is what
    no container needs: pruning containers, images and cache gives it back.

    \b
    Examples:
      lamella system df
      lamella system df -v
      lamella system df --format '{{.Type}}: {{.Size}}'
    """
    from cli.output import print_rows
    from cli.wiring import open_store
    from images.claims import claims
    from images.usage import usage

    with open_store(settings) as store:
        known = claims(store)
    used = usage(settings.root, known)
    if verbose:
        from cli.system_df_verbose import show

        show(settings, used, template)
    else:
        print_rows([row(part) for part in used.parts], HEADINGS, SHOWN, template)


def row(part: Part) -> dict[str, Any]:
    """The fields of one part, by Docker's names."""
    from core.units import human_size

    share = f" ({100 * part.reclaimable // part.size}%)" if part.size and part.name != "Build Cache" else ""
    return {
        "Type": part.name, "TotalCount": str(part.total), "Active": str(part.active),
        "Size": human_size(part.size, digits=4), "Reclaimable": human_size(part.reclaimable, digits=4) + share,
        "Bytes": str(part.size), "ReclaimableBytes": str(part.reclaimable),
    }  # fmt: skip
