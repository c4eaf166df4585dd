"""How answers look: JSON for scripts, tables for people."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from rich.console import Console
from rich.table import Table
from rich.text import Text

PIPE_WIDTH = 200
console = Console(highlight=False)
hints = Console(stderr=True, highlight=False)
if not console.is_terminal:
    console.width = PIPE_WIDTH  # nobody's terminal cuts it, so nothing needs folding


def is_interactive() -> bool:
    """Tell whether there is a person to ask."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def to_json(value: Any) -> str:  # noqa: ANN401 - anything that JSON or `_plain` knows
    """Return a value as JSON on one line; times in ISO 8601, numbers exact."""
    return json.dumps(value, default=_plain, ensure_ascii=False)


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"cannot be shown as JSON: {type(value).__name__}")


def print_json(value: Any) -> None:  # noqa: ANN401
    """Print one JSON document."""
    print(to_json(value))


def print_lines(items: Iterable[Any]) -> None:
    """Print JSON lines, one for each item."""
    for item in items:
        sys.stdout.write(to_json(item) + "\n")


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> None:
    """Print a table; numbers stand to the right."""
    content = [list(row) for row in rows]
    if not content:
        return
    made = Table(title=title, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False)
    for place, column in enumerate(columns):
        numeric = all(isinstance(row[place], int) and not isinstance(row[place], bool) for row in content)
        made.add_column(column, justify="right" if content and numeric else "left")
    for row in content:
        made.add_row(*(Text(show(cell)) for cell in row))
    console.print(made)


def show_schedule(schedule: Mapping[str, Any]) -> str:
    """Return in words how often a source is read."""
    hour = schedule["sweep_hour"]
    sweeps = f"every {show(schedule['sweep_interval'])} s" if hour is None else f"from {hour:02}:00 UTC"
    return f"polled every {show(schedule['interval'])} s and {show(schedule['jitter'])} s more, swept {sweeps}"


def show(value: object) -> str:
    """Return a value as a person reads it; control characters cannot reach the terminal."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, list):
        return ", ".join(map(show, value))
    return "".join(letter if letter.isprintable() else " " for letter in str(value))
