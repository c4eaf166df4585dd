"""Date literals such as `LAST_N_DAYS:30`, as ranges of days; the user's time zone is UTC and weeks begin on Sunday."""

import re
from datetime import date, timedelta

_MONTHS = {"MONTH": 1, "QUARTER": 3, "YEAR": 12}
_UNIT = r"(?:FISCAL_)?(DAY|WEEK|MONTH|QUARTER|YEAR)"
_NEIGHBOUR = re.compile(rf"(LAST|THIS|NEXT)_{_UNIT}")
_SPAN = re.compile(rf"(LAST|NEXT)_N_{_UNIT}S:(\d+)")
_AGO = re.compile(rf"N_{_UNIT}S_AGO:(\d+)")
_NAMED = {
    "TODAY": "THIS_DAY",
    "YESTERDAY": "N_DAYS_AGO:1",
    "TOMORROW": "NEXT_DAY",
    "LAST_90_DAYS": "LAST_N_DAYS:90",
    "NEXT_90_DAYS": "NEXT_N_DAYS:90",
}

Days = tuple[date, date]


def _start(day: date, unit: str) -> date:
    if unit == "DAY":
        return day
    if unit == "WEEK":
        return day - timedelta(days=(day.weekday() + 1) % 7)
    size = _MONTHS[unit]
    return date(day.year, (day.month - 1) // size * size + 1, 1)


def _shift(start: date, unit: str, count: int) -> date:
    if unit in {"DAY", "WEEK"}:
        return start + timedelta(days=count * (7 if unit == "WEEK" else 1))
    months = start.year * 12 + start.month - 1 + count * _MONTHS[unit]
    return date(months // 12, months % 12 + 1, 1)


def days(literal: str, today: date) -> Days:
    """Return the half-open range of days that a date literal means on a given day; ValueError for an unknown one."""
    name = _NAMED.get(literal.upper(), literal.upper())
    if match := _NEIGHBOUR.fullmatch(name):
        first = _shift(_start(today, match[2]), match[2], {"LAST": -1, "THIS": 0, "NEXT": 1}[match[1]])
        return first, _shift(first, match[2], 1)
    if match := _AGO.fullmatch(name):
        first = _shift(_start(today, match[1]), match[1], -int(match[2]))
        return first, _shift(first, match[1], 1)
    if match := _SPAN.fullmatch(name):
        return _span(match[1], match[2], int(match[3]), today)
    raise ValueError(f"unexpected token: '{literal}'")


def _span(side: str, unit: str, count: int, today: date) -> Days:
    this = _start(today, unit)
    following = _shift(this, unit, 1)
    if side == "NEXT":
        return following, _shift(following, unit, count)
    # The last n days reach to the end of today; the last n weeks, months, … end where the present one begins.
    return _shift(this, unit, -count), following if unit == "DAY" else this
