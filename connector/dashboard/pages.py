"""How a page is made: templates, and how they write numbers, times and sizes."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.templating import Jinja2Templates
from starlette.responses import RedirectResponse, Response

HERE = Path(__file__).parent
templates = Jinja2Templates(HERE / "templates")


def render(request: Request, template: str, status: int = 200, /, **facts: Any) -> Response:  # noqa: ANN401 - a template's
    """Return a page, or a part of one, with the visitor it is for."""
    known = {"who": request.state.visitor, "now": datetime.now(UTC), **facts}
    return templates.TemplateResponse(request, template, known, status_code=status)


def go_to(path: str) -> Response:
    """Send the browser on after a write, so that loading the page again repeats nothing."""
    return RedirectResponse(path, 303)


def is_part(request: Request) -> bool:
    """Tell whether only a part of a page was asked for, by htmx."""
    return "HX-Request" in request.headers


def number(value: float | None) -> str:
    """A number as people read it."""
    return "–" if value is None else f"{value:,.0f}"


def moment(value: datetime | None) -> str:
    """A time to the second, in UTC, as all of them are."""
    return "–" if value is None else value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def span(seconds: float | timedelta | None) -> str:
    """A stretch of time in its largest unit but one: `3 min`, `2 h 5 min`, `4 days`."""
    if seconds is None:
        return "–"
    total = int(seconds.total_seconds() if isinstance(seconds, timedelta) else seconds)
    if total < 60:
        return f"{total} s"
    minutes, hours, days = total // 60 % 60, total // 3600 % 24, total // 86400
    if days:
        return f"{days} day{'s' * (days != 1)}"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def answer(value: object) -> str:
    """A value that means yes or no, as one types it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def shown(value: object) -> str:
    """A value of a profile: lists in a line, nothing as a dash."""
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(shown, value))
    if isinstance(value, datetime):
        return moment(value)
    return str(value)


templates.env.filters |= {"number": number, "moment": moment, "span": span, "shown": shown, "answer": answer}
templates.env.trim_blocks = templates.env.lstrip_blocks = True
