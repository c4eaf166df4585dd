"""From SOQL text to a syntax tree."""

from pathlib import Path as FilePath
from typing import Any

from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedInput, UnexpectedToken, v_args
from lark.exceptions import VisitError

from ..errors import ApiError
from . import ast

_MAX_STATEMENT = 100_000
_ECHO_BEFORE, _ECHO_AFTER = 60, 40


def error_at(text: str, token: Token | None, code: str, message: str) -> ApiError:
    """Build a query error as Salesforce words it: part of the query, a caret below, the place, the message."""
    start = len(text) if token is None or token.start_pos is None else token.start_pos
    line_start = text.rfind("\n", 0, start) + 1
    line_end = text.find("\n", start)
    echo_start = max(line_start, start - _ECHO_BEFORE)
    echo = text[echo_start : min(len(text) if line_end < 0 else line_end, start + _ECHO_AFTER)]
    place = f"ERROR at Row:{text.count(chr(10), 0, start) + 1}:Column:{start - line_start + 1}"
    return ApiError(code, f"\n{echo}\n{' ' * (start - echo_start)}^\n{place}\n{message}")


@v_args(inline=True)
class _TreeBuilder(Transformer[Token, ast.Query]):
    def path(self, token: Token) -> ast.Path:
        return ast.Path(token)

    def call(self, function: Token, argument: Token | None = None) -> ast.Call:
        return ast.Call(function, argument)

    def aliased_call(self, call: ast.Call, alias: Token | None = None) -> ast.Call:
        return ast.Call(call.function, call.argument, None if alias is None else str(alias))

    def subquery(self, query: ast.Query) -> ast.Query:
        return query

    def literal(self, token: Token) -> ast.Literal:
        return ast.Literal(ast.Kind(token.type), token)

    def literals(self, *literals: ast.Literal) -> tuple[ast.Literal, ...]:
        return literals

    def set_operator(self, token: Token) -> str:
        return " ".join(token.upper().split())

    def comparison(self, operand: ast.Path | ast.Call, operator: Token, value: ast.Literal) -> ast.Comparison:
        return ast.Comparison(operand, "!=" if operator == "<>" else operator.upper(), value)

    def membership(self, operand: ast.Path | ast.Call, operator: Any, values: Any) -> ast.Membership:  # noqa: ANN401
        return ast.Membership(operand, operator, values)

    def negation(self, operand: ast.Condition) -> ast.Negation:
        return ast.Negation(operand)

    def conjunction(self, *operands: ast.Condition) -> ast.Conjunction:
        return ast.Conjunction(operands)

    def disjunction(self, *operands: ast.Condition) -> ast.Disjunction:
        return ast.Disjunction(operands)

    def order_item(self, operand: ast.Path | ast.Call, *modifiers: Token) -> ast.OrderItem:
        kinds = {token.type for token in modifiers}
        return ast.OrderItem(operand, descending="DESC" in kinds, nulls_last="LAST" in kinds)

    def select_list(self, *items: ast.Path | ast.Call | ast.Query) -> tuple[str, object]:
        return "select", items

    def where(self, condition: ast.Condition) -> tuple[str, object]:
        return "where", condition

    def group(self, *paths: ast.Path) -> tuple[str, object]:
        return "group_by", paths

    def order(self, *items: ast.OrderItem) -> tuple[str, object]:
        return "order_by", items

    def limit(self, number: Token) -> tuple[str, object]:
        return "limit", int(number)

    def offset(self, number: Token) -> tuple[str, object]:
        return "offset", int(number)

    def scope(self, _name: Token) -> tuple[str, object]:
        return "scope", None

    def for_clause(self) -> tuple[str, object]:
        return "for", None

    def source(self, name: Token, alias: Token | None = None) -> tuple[str, object]:
        return "source", (name, None if alias is None else str(alias))

    def query(self, *clauses: tuple[str, Any]) -> ast.Query:
        parts = dict(clauses)
        source, alias = parts.pop("source")
        # USING SCOPE and FOR VIEW change nothing here: the user sees all rows, and no dates of viewing are kept.
        ignored = ("scope", "for")
        return ast.Query(source=source, alias=alias, **{k: v for k, v in parts.items() if k not in ignored})


_GRAMMAR = (FilePath(__file__).parent / "grammar.lark").read_text(encoding="utf-8")
_PARSER = Lark(_GRAMMAR, start="query", parser="lalr", transformer=_TreeBuilder())


def parse(text: str) -> ast.Query:
    """Parse a statement of at most 100,000 characters; ApiError MALFORMED_QUERY if it is none."""
    if len(text) > _MAX_STATEMENT:
        raise ApiError("MALFORMED_QUERY", f"SOQL statements cannot be longer than {_MAX_STATEMENT} characters")
    try:
        tree: Any = _PARSER.parse(text)
    except UnexpectedInput as error:
        raise _syntax_error(text, error) from None
    except VisitError as error:
        raise ApiError("MALFORMED_QUERY", str(error.orig_exc)) from error
    query: ast.Query = tree
    return query


def _syntax_error(text: str, error: UnexpectedInput) -> ApiError:
    if isinstance(error, UnexpectedToken):
        at_end = error.token.type == "$END"
        found = "<EOF>" if at_end else str(error.token)
        return error_at(text, None if at_end else error.token, "MALFORMED_QUERY", f"unexpected token: '{found}'")
    if isinstance(error, UnexpectedCharacters):
        message = f"line {error.line}:{error.column} no viable alternative at character '{error.char}'"
        return ApiError("MALFORMED_QUERY", message)
    return error_at(text, None, "MALFORMED_QUERY", "unexpected token: '<EOF>'")
