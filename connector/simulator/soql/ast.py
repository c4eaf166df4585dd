"""What a parsed query is made of; names are tokens, which know where they stand in the text."""

from dataclasses import dataclass
from enum import Enum
from typing import Literal as OneOf

from lark import Token


@dataclass(frozen=True)
class Path:
    """A field, perhaps of a parent: `Account.Owner.Name`."""

    token: Token

    @property
    def names(self) -> list[str]:
        """Return the parts between the dots."""
        return self.token.split(".")


@dataclass(frozen=True)
class Call:
    """A function with at most one argument."""

    function: Token
    argument: Token | None
    alias: str | None = None


class Kind(Enum):
    """The kinds of literals, named as in the grammar."""

    STRING = "STRING"
    NUMBER = "NUMBER"
    DATETIME = "DATETIME"
    DATE = "DATE"
    TRUE = "TRUE"
    FALSE = "FALSE"
    NULL = "NULL"
    RELATIVE = "RELATIVE"


@dataclass(frozen=True)
class Literal:
    """A literal as written, with its kind."""

    kind: Kind
    token: Token


@dataclass(frozen=True)
class Comparison:
    """A field compared with one literal; the operator is in upper case."""

    operand: Path | Call
    operator: str
    value: Literal


@dataclass(frozen=True)
class Membership:
    """A field looked up in a list of literals or in a query."""

    operand: Path | Call
    operator: OneOf["IN", "NOT IN", "INCLUDES", "EXCLUDES"]
    values: "tuple[Literal, ...] | Query"


@dataclass(frozen=True)
class Negation:
    """NOT."""

    operand: "Condition"


@dataclass(frozen=True)
class Conjunction:
    """AND."""

    operands: "tuple[Condition, ...]"


@dataclass(frozen=True)
class Disjunction:
    """OR."""

    operands: "tuple[Condition, ...]"


Condition = Comparison | Membership | Negation | Conjunction | Disjunction


@dataclass(frozen=True)
class OrderItem:
    """One column to sort by."""

    operand: Path | Call
    descending: bool
    nulls_last: bool


@dataclass(frozen=True)
class Query:
    """A whole query, or one inside another."""

    select: "tuple[Path | Call | Query, ...]"
    source: Token
    alias: str | None = None
    where: Condition | None = None
    group_by: tuple[Path, ...] = ()
    order_by: tuple[OrderItem, ...] = ()
    limit: int | None = None
    offset: int = 0
