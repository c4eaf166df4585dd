"""Small bar charts as plain numbers; the template draws them as SVG, with a table behind each."""

from collections.abc import Sequence
from dataclasses import dataclass

from cdp.queries import Row

SLOT, GAP, HEIGHT = 10, 2, 50


@dataclass(frozen=True)
class Bar:
    """One bar in the units of the drawing, and what it stands for."""

    x: int
    y: float
    width: int
    height: float
    label: str
    value: int


@dataclass(frozen=True)
class Chart:
    """One chart: its name, the size of its drawing, its bars, and their sum."""

    name: str
    width: int
    height: int
    bars: tuple[Bar, ...]
    total: int


def chart(name: str, days: Sequence[Row], column: str) -> Chart:
    """Return one column of the last days as bars; the tallest takes the whole height."""
    most = max((int(day[column]) for day in days), default=0)
    bars = tuple(_bar(place, int(day[column]), most, f"{day['day']:%a %d %b}") for place, day in enumerate(days))
    return Chart(name, SLOT * len(bars), HEIGHT, bars, sum(bar.value for bar in bars))


def _bar(place: int, value: int, most: int, label: str) -> Bar:
    height = round(max(HEIGHT * value / most, 1), 1) if value else 0
    return Bar(SLOT * place + GAP // 2, HEIGHT - height, SLOT - GAP, height, label, value)
