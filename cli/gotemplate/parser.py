"""Tokens → nodes, by recursive descent; what is wrong is told with its place before anything is printed."""

from __future__ import annotations

from typing import NoReturn

from cli.gotemplate.errors import TemplateError
from cli.gotemplate.functions import FUNCTIONS
from cli.gotemplate.lexer import Token, tokens
from cli.gotemplate.nodes import (
    Action,
    Branch,
    Dot,
    Fields,
    Function,
    Jump,
    Literal,
    Node,
    Operand,
    Pipeline,
    Text,
    Variable,
)  # fmt: skip

_BRANCHES = ("if", "range", "with")
_LEFT_OUT = ("define", "template", "block", "call")
_CONSTANTS = {"true": True, "false": False, "nil": None}
_END = Token("end", "", 0)


def parse(source: str) -> tuple[Node, ...]:
    """The nodes of `source`. Raises TemplateError."""
    parser = _Parser(source)
    nodes, closing = parser.nodes()
    if closing is not _END:
        parser.fail(closing, f"unexpected {{{{{closing.text}}}}}")
    return nodes


class _Parser:
    def __init__(self, source: str) -> None:
        self.source = source
        self._tokens = list(tokens(source))
        self._at = 0
        self._loops = 0
        self._variables = ["$"]

    def fail(self, token: Token, why: str, hint: str | None = None) -> NoReturn:
        raise TemplateError(self.source, len(self.source) if token.kind == "end" else token.offset, why, hint)

    def _peek(self) -> Token:
        return self._tokens[self._at] if self._at < len(self._tokens) else _END

    def _next(self) -> Token:
        token = self._peek()
        self._at += 1
        return token

    def _skip_space(self) -> Token:
        while self._peek().kind == "space":
            self._at += 1
        return self._peek()

    def nodes(self) -> tuple[tuple[Node, ...], Token]:
        """Nodes up to an `end` or `else`, whose word alone is consumed and returned, or the end of the template."""
        found: list[Node] = []
        while True:
            token = self._next()
            if token.kind == "end":
                return tuple(found), _END
            if token.kind == "text":
                found.append(Text(token.text))
                continue
            word = self._skip_space()
            if word.kind == "word" and word.text in ("end", "else"):
                return tuple(found), self._next()
            found.append(self._action(word))

    def _action(self, word: Token) -> Node:
        if word.kind == "word" and word.text in _BRANCHES:
            self._next()
            return self._branch(word)
        if word.kind == "word" and word.text in ("break", "continue"):
            if not self._loops:
                self.fail(word, f"{{{{{word.text}}}}} outside {{{{range}}}}")
            self._next()
            self._close(word.text)
            return Jump(word.text)
        if word.kind == "word" and word.text in _LEFT_OUT:
            self.fail(word, f"{word.text!r} is not supported in formats")
        action = self._assignment("command")
        self._close("command")
        return action

    def _branch(self, word: Token) -> Branch:
        scope = len(self._variables)
        head = self._assignment(word.text, several=word.text == "range")
        self._close(word.text)
        self._loops += word.text == "range"
        body, closing = self.nodes()
        self._loops -= word.text == "range"
        otherwise = self._otherwise(word) if closing.text == "else" else self._ended(word, closing)
        del self._variables[scope:]
        return Branch(word.text, head, body, otherwise)

    def _otherwise(self, word: Token) -> tuple[Node, ...]:
        again = self._skip_space()
        if again.kind == "word" and again.text in ("if", "with"):
            self._next()
            return (self._branch(again),)  # {{else if}}: the {{end}} of the inner one ends both
        self._close("else")
        nodes, closing = self.nodes()
        self._ended(word, closing)
        return nodes

    def _ended(self, word: Token, closing: Token) -> tuple[Node, ...]:
        if closing.kind == "end":
            self.fail(closing, f"unexpected end of the template: {{{{{word.text}}}}} lacks its {{{{end}}}}")
        if closing.text != "end":
            self.fail(closing, "expected {{end}}, found another {{else}}")
        self._close("end")
        return ()

    def _close(self, context: str) -> None:
        token = self._skip_space()
        if token.kind != "close":
            self.fail(token, f"unexpected {token.text!r} in {context}")
        self._next()

    def _assignment(self, context: str, *, several: bool = False) -> Action:
        start, first = self._at, self._skip_space()
        if first.kind != "variable":
            return Action(self._pipeline(context))
        names = [self._next().text]
        if several and self._skip_space().text == ",":
            self._next()
            second = self._skip_space()
            if second.kind != "variable":
                self.fail(second, "range expects a variable after ','")
            names.append(self._next().text)
        sign = self._skip_space()
        if sign.text not in (":=", "="):
            self._at = start
            return Action(self._pipeline(context))
        self._next()
        if sign.text == "=":
            for name in names:
                self._known(name, first)
        pipeline = self._pipeline(context)
        if sign.text == ":=":
            self._variables += names
        return Action(pipeline, tuple(names), sign.text == ":=")

    def _known(self, name: str, token: Token) -> None:
        if name not in self._variables:
            self.fail(token, f"undefined variable {name!r}")

    def _pipeline(self, context: str) -> Pipeline:
        offset = self._skip_space().offset
        commands = [self._command(context)]
        while self._skip_space().text == "|" and self._peek().kind == "sign":
            bar = self._next()
            commands.append(self._command(context))
            if isinstance(commands[-1][0], Literal | Dot):
                self.fail(bar, "what stands after '|' must be a function or a field")
        return Pipeline(tuple(commands), offset)

    def _command(self, context: str) -> tuple[Operand, ...]:
        operands: list[Operand] = []
        while (operand := self._operand()) is not None:
            operands.append(operand)
        if not operands:
            self.fail(self._peek(), f"missing value for {context}")
        if len(operands) > 1 and isinstance(operands[0], Literal):
            self.fail(self._peek(), "can't give an argument to a value that is no function")
        return tuple(operands)

    def _operand(self) -> Operand | None:
        token = self._skip_space()
        base: Operand | None
        if token.kind == "field":
            base = Dot(token.offset)
        else:
            base = self._term(token)
            if base is None:
                return None
        names = []
        while self._peek().kind == "field":
            names.append(self._next().text)
        if names and isinstance(base, Literal | Function):
            self.fail(token, f"unexpected .{names[0]} after {token.text!r}")
        return Fields(base, tuple(names), token.offset) if names else base

    def _term(self, token: Token) -> Operand | None:
        if token.kind in ("string", "char", "number"):
            self._next()
            return Literal(_literal(self, token), token.offset)
        if token.kind == "dot":
            self._next()
            return Dot(token.offset)
        if token.kind == "variable":
            self._known(self._next().text, token)
            return Variable(token.text, token.offset)
        if token.kind == "word":
            return self._word(self._next())
        if token.text == "(" and token.kind == "sign":
            self._next()
            pipeline = self._pipeline("parenthesised pipeline")
            if self._skip_space().text != ")":
                self.fail(self._peek(), "unclosed left paren")
            self._next()
            return pipeline
        return None

    def _word(self, token: Token) -> Operand:
        if token.text in _CONSTANTS:
            return Literal(_CONSTANTS[token.text], token.offset)
        if token.text not in FUNCTIONS:
            self.fail(token, f"function {token.text!r} not defined", f"fields start with a dot: {{{{.{token.text}}}}}")
        return Function(token.text, token.offset)


def _literal(parser: _Parser, token: Token) -> object:
    if token.kind == "string":
        return token.text
    if token.kind == "char":
        if len(token.text) != 1:
            parser.fail(token, "a character constant is one character")
        return ord(token.text)
    text = token.text.replace("_", "")
    try:
        return int(text, 0)
    except ValueError:
        try:
            return float(text)
        except ValueError:
            parser.fail(token, f"bad number {token.text!r}")
