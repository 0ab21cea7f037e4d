"""The flags of `ps` as a table."""

from __future__ import annotations

from cli.flags import Flag

PS: tuple[Flag, ...] = (
    (("-a", "--all", "everything"), {"is_flag": True, "help": "Also those that do not run."}),
    (("-q", "--quiet"), {"is_flag": True, "help": "Only IDs."}),
    (("-f", "--filter", "filters"), {"multiple": True, "metavar": "KEY=VALUE", "help": "Such as status=exited, name=web, label=a=b."}),
    (("--format", "template"), {"metavar": "TEMPLATE", "help": "json, or a Go template such as '{{.Names}}'."}),
    (("--no-trunc",), {"is_flag": True, "help": "Do not cut anything short."}),
    (("-n", "--last"), {"type": int, "default": -1, "metavar": "N", "help": "The N newest, in any state."}),
    (("-l", "--latest"), {"is_flag": True, "help": "The newest, in any state."}),
    (("-s", "--size"), {"is_flag": True, "help": "What each has written."}),
)  # fmt: skip
