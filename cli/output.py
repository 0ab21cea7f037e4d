"""Data for stdout: tables as Docker's tab-writer sets them, JSON, and Go templates."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias, TypeVar

    Item = TypeVar("Item")

MIN_WIDTH = 10
PADDING = 3
BLOCK = 1000  # rows that are formatted and written at a time

Row: TypeAlias = "Mapping[str, Any]"  # field → text; a callable is a method, such as `.Label "name"`


def render(template: str, value: Any) -> str:
    """`value` as `--format` asks: `json`, or a Go template. Raises InvalidInput for a template that makes no sense."""
    from cli.gotemplate import Template, to_json

    return to_json(value) if template == "json" else Template(template).render(value)


def print_rows(
    rows: Iterable[Row], headings: Mapping[str, str], shown: Sequence[str], template: str | None = None, *, quiet: bool = False
) -> None:  # fmt: skip
    """Write a listing to stdout: the fields `shown` as a table, or what `template` asks for.

    `template` is `json` (an object a line), `table` with or without a Go template, or a Go template for each row, in which
    `\\t` and `\\n` stand for tab and new line. `headings`: field → heading of its column. `quiet`: in place of a plain table
    only the field `ID`.
    """
    template = (template or "table").strip(" ").replace("\\t", "\t").replace("\\n", "\n")
    if template == "table" and quiet:
        return _stream(f"{row['ID']}\n" for row in rows)
    if template == "table":
        cells = ([str(row[name]) for name in shown] for row in rows)
        return _stream(_table(chain([[headings[name] for name in shown]], cells)))
    if template.startswith("table"):
        return _stream(_template_table(rows, headings, template.removeprefix("table").lstrip(" \t")))
    from cli.gotemplate import Template, to_json

    if template == "json":
        return _stream(to_json(dict(sorted(row.items()))) + "\n" for row in rows)
    if "json" in template:
        rows = (dict(sorted(row.items())) for row in rows)
    parsed = Template(template)
    return _stream(parsed.render(row) + "\n" for row in rows)


def _stream(lines: Iterable[str]) -> None:
    """Write `lines` some at a time: whoever reads a long listing sees its beginning at once, and may leave."""
    for block in _blocks(lines):
        write("".join(block))
        sys.stdout.flush()


def _blocks(items: Iterable[Item]) -> Iterator[list[Item]]:
    left = iter(items)
    while block := list(islice(left, BLOCK)):
        yield block


def _template_table(rows: Iterable[Row], headings: Mapping[str, str], template: str) -> Iterator[str]:
    from cli.gotemplate import Template

    heading = Template(template, heading=True).render({**headings, "Label": _label_heading})
    parsed = Template(template)
    texts = chain([heading], (parsed.render(row) for row in rows))
    return _table(line.split("\t") for text in texts for line in text.split("\n"))


def _label_heading(name: str) -> str:
    return name.rpartition(".")[2].replace("-", " ").replace("_", " ")


# What a terminal takes for commands: a table shows what images say about themselves. C0 but for the new line, and C1.
_UNPRINTED = dict.fromkeys((*range(10), *range(11, 32), *range(127, 160)), "?")


def table(rows: Iterable[Sequence[str]]) -> str:
    """`rows` in columns, each at least 10 wide with 3 blanks after it; the last cell of a row is not padded."""
    return "".join(_table(rows))


def _table(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The lines of a table. Columns are as wide as what the first rows need, and widen where a later block needs more: a
    listing that is longer than a block need not be read to its end before its beginning is shown."""
    widths: dict[int, int] = {}
    for block in _blocks(rows):
        lines = [[cell.translate(_UNPRINTED) for cell in row] for row in block]
        for row in lines:
            for column, cell in enumerate(row[:-1]):
                widths[column] = max(widths.get(column, MIN_WIDTH), len(cell) + PADDING)
        yield from (
            "".join(c.ljust(widths[i]) for i, c in enumerate(row[:-1])) + row[-1] + "\n" for row in lines if row
        )


def write(text: str) -> None:
    """Write `text` to stdout as it is."""
    sys.stdout.write(text)


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a table to stdout that has no `--format`."""
    write(table([headings, *rows]))


def labels_text(labels: Mapping[str, str] | None) -> str:
    """The `Labels` field of a listing: `a=1,b=2`, by name."""
    return ",".join(f"{name}={value}" for name, value in sorted((labels or {}).items()))


def ellipsis(text: str, width: int) -> str:
    """`text` in at most `width` characters, the last one an ellipsis where something was cut."""
    return text if len(text) <= width else text[: width - 1] + "…"
