"""Values of literals: escapes in strings, patterns of LIKE, dates and times."""

import re
from datetime import UTC, date, datetime

_SIMPLE = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", '"': '"', "'": "'", "\\": "\\"}
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)|([%_])", re.DOTALL)
_FIRST, _LAST = datetime(1700, 1, 1, tzinfo=UTC), datetime(4000, 12, 31, 23, 59, 59, tzinfo=UTC)
_FRACTION = re.compile(r"\.\d+")


def _character(escape: str) -> str:
    if len(escape) == 5:
        return chr(int(escape[1:], 16))
    if escape not in _SIMPLE:
        raise ValueError(f"Illegal string literal: invalid escape sequence '\\{escape}'")
    return _SIMPLE[escape]


def _surrogates_joined(text: str) -> str:
    """Join pairs of surrogates, which `\\uXXXX` needs for characters beyond the first plane."""
    return (
        text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
        if re.search("[\ud800-\udbff]", text)
        else text
    )


def string_value(quoted: str) -> str:
    """Return the text of a quoted literal; ValueError for an escape that SOQL does not know."""

    def replace(match: re.Match[str]) -> str:
        return match[2] or _character(match[1])

    return _surrogates_joined(_ESCAPE.sub(replace, quoted[1:-1]))


def like_pattern(quoted: str) -> re.Pattern[str]:
    r"""Return the pattern of a LIKE literal, where `\_` and `\%` stand for themselves; ValueError as `string_value`."""
    parts, end, body = [], 0, quoted[1:-1]
    for match in _ESCAPE.finditer(body):
        parts.append(re.escape(body[end : match.start()]))
        end = match.end()
        if match[2]:
            parts.append(".*" if match[2] == "%" else ".")
        else:
            parts.append(re.escape(match[1] if match[1] in "%_" else _character(match[1])))
    return re.compile("".join([*parts, re.escape(body[end:])]), re.IGNORECASE | re.DOTALL)


def quote(text: str) -> str:
    """Write text as a SOQL literal."""
    escapes = {character: f"\\{letter}" for letter, character in _SIMPLE.items() if letter != '"'}
    return "'" + "".join(escapes.get(character, character) for character in text) + "'"


def datetime_value(text: str) -> datetime:
    """Return the instant of a datetime literal, its fraction of a second ignored; ValueError outside 1700 to 4000."""
    value = datetime.fromisoformat(_FRACTION.sub("", text.upper())).astimezone(UTC)
    if not _FIRST <= value <= _LAST:
        raise ValueError(f"Invalid date: {text}")
    return value


def date_value(text: str) -> date:
    """Return the day of a date literal; ValueError if there is no such day, or outside 1700 to 4000."""
    value = date.fromisoformat(text)
    if not _FIRST.date() <= value <= _LAST.date():
        raise ValueError(f"Invalid date: {text}")
    return value
