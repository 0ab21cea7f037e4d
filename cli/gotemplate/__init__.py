"""Go's text/template as Docker's `--format` uses it: what scripts write after `--format` and `-f` means the same here.

Left out: `define`, `template`, `block` and `call`, which a one-line format has no use for.
"""

from __future__ import annotations

from cli.gotemplate.errors import TemplateError
from cli.gotemplate.execute import Template
from cli.gotemplate.functions import to_json

__all__ = ["Template", "TemplateError", "to_json"]
