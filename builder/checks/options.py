"""What `# check=skip=A,B;error=true;experimental=C` asks for: at the top of a file, as a build arg, or above one instruction."""

from __future__ import annotations

import re
from collections.abc import Sequence

from builder.checks.rules import RULES, Rule
from builder.dockerfile.source import suggestion
from core.errors import InvalidInput
from core.value import Value

_ALL = frozenset(("all",))
_KEYS = ("skip", "error", "experimental")
_TRUTH = dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True) | dict.fromkeys(
    ("0", "f", "F", "false", "FALSE", "False"), False
)
_COMMENT = re.compile(r"check\s*=\s*(\S+).*", re.IGNORECASE)


class Options(Value):
    """Which rules count. `skip` and `experimental` hold rules' names, or `all`; `error` makes a finding end the build."""

    skip: frozenset[str] = frozenset()
    experimental: frozenset[str] = frozenset()
    error: bool = False

    def shows(self, rule: Rule) -> bool:
        """Whether what `rule` finds is told. An experimental rule is not subject to `skip`, as in BuildKit."""
        if rule.experimental:
            return bool(self.experimental & {"all", rule.name})
        return not self.skip & {"all", rule.name}

    def joined(self, other: Options) -> Options:
        """These and those of one instruction."""
        return Options(self.skip | other.skip, self.experimental | other.experimental, self.error)

    def unknown(self) -> list[str]:
        """A sentence for each name that is no rule."""
        names = sorted((self.skip | self.experimental) - RULES.keys() - _ALL)
        return [_no_rule(name) for name in names]


def _no_rule(name: str) -> str:
    near = suggestion(name, RULES)
    return f"there is no build check called {name!r}" + (f" ({near})" if near else "")


def parse_options(text: str) -> Options:
    """The value of the directive. Raises InvalidInput."""
    found: dict[str, str] = {}
    for part in text.strip().split(";", 2) if text.strip() else ():
        key, equals, value = part.partition("=")
        key, value = key.strip(), value.strip()
        if not equals or key not in _KEYS:
            raise InvalidInput(
                f"invalid check option {part.strip()!r}",
                suggestion(key, _KEYS) or "write it like skip=RuleA,RuleB;error=true;experimental=all",
            )
        found[key] = value
    error = found.get("error", "false")
    if error not in _TRUTH:
        raise InvalidInput(f"invalid check option: error={error}", "error is true or false")
    return Options(_names(found.get("skip", "")), _names(found.get("experimental", "")), _TRUTH[error])


def _names(text: str) -> frozenset[str]:
    return frozenset(filter(None, (name.strip() for name in text.split(","))))


def options_of(comments: Sequence[str]) -> Options:
    """What the comments above one instruction ask for; one that makes no sense is a comment like any other."""
    for comment in comments:
        found = _COMMENT.fullmatch(comment)
        if found:
            try:
                return parse_options(found[1])
            except InvalidInput:
                return Options()
    return Options()
