"""The scripting interface over HTTP, under `/_control/`: an org seen and steered by another process."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, fields
from datetime import date, datetime
from typing import Any

from starlette.responses import Response, StreamingResponse

from .credentials import credentials
from .errors import ApiError
from .faults import Fault
from .instance import Instance
from .population import populate
from .schema import make_field
from .users import User
from .wire import Call, open_route, reply

EDITS = frozenset(
    {
        *("insert", "insert_many", "update", "delete", "undelete", "purge", "merge", "convert", "corrupt"),
        *("hide_field", "show_field", "hide_object", "show_object", "set_hidden_rows"),
        *("add_field", "rename_field", "retype_field"),
    }
)
LATE_EDITS = frozenset({"insert", "update", "delete", "commit", "rollback"})
RIGHTS = frozenset(each.name for each in fields(User) if each.type == "bool")


def about(call: Call) -> Response:
    """Who the org is, what time it is there, how many rows it has."""
    org = call.instance.org
    counts = {name: org.count(name) for name in org.objects}
    known = {"key": org.key, "name": org.name, "org_id": org.org_id, "url": call.instance.url}
    return _json(known | {"now": org.clock.now(), "counts": counts})


def edit(call: Call) -> Response:
    """`{"action", "args", "kwargs"}`: call a method of the org, or with `transaction` of an open long transaction."""
    wanted = call.json()
    action, args, kwargs = str(wanted.get("action")), wanted.get("args", []), _with_moments(wanted.get("kwargs", {}))
    late = "transaction" in wanted
    if action not in (LATE_EDITS if late else EDITS):
        raise ApiError("NOT_FOUND", f"no such edit: {action}", status=404)
    if action == "add_field":
        args, kwargs = [args[0], make_field(*args[1:], **kwargs)], {}
    target = call.instance.transactions[wanted["transaction"]] if late else call.instance.org
    return _json({"result": getattr(target, action)(*args, **kwargs)})


def begin(call: Call) -> Response:
    """Open a long transaction; its number goes into later edits."""
    number = len(call.instance.transactions) + 1
    call.instance.transactions[number] = call.instance.org.late_commit()
    return _json({"transaction": number})


def snapshot(call: Call) -> Response:
    """`?object=X`: the rows of an object as they are, JSON lines."""
    return _lines(call.instance.org.snapshot(call.query["object"]).values())


def history(call: Call) -> Response:
    """`?after=N`: the events from number N on, JSON lines."""
    org = call.instance.org
    first = int(call.query.get("after", "0"))
    with org.lock:
        events = org.history[first:]
    return _lines(
        {
            "number": number,
            "at": e.at,
            "action": e.action,
            "object": e.object,
            "id": e.id,
            "row": e.row,
            "extra": dict(e.extra),
        }
        for number, e in enumerate(events, first)
    )


def fill(call: Call) -> Response:
    """Add a population; the body holds the arguments of `populate`."""
    populate(call.instance.org, **call.json())
    return about(call)


def clock(call: Call) -> Response:
    """`{"advance": SECONDS}`."""
    call.instance.org.clock.advance(call.json()["advance"])
    return _json({"now": call.instance.org.clock.now()})


def use_api(call: Call) -> Response:
    """`{"calls": N}`: as if others had made so many API calls."""
    return _json({"api_usage": call.instance.usage.count(call.json()["calls"])})


def list_faults(call: Call) -> Response:
    """The rules in force, with their counters."""
    return _json([fault.as_json() for fault in call.instance.faults.all()])


def add_fault(call: Call) -> Response:
    """Put a rule in force, for this org unless it names another."""
    return _json(call.instance.faults.add(Fault(**({"org": call.instance.org.key} | call.json()))).as_json())


def clear_faults(call: Call) -> Response:
    """Lift all rules, or those called `?name=`."""
    call.instance.faults.clear(call.query.get("name", ""))
    return _json({})


def requests(call: Call) -> Response:
    """The requests to this org so far, JSON lines."""
    return _lines(asdict(entry) for entry in call.instance.requests.of(call.instance.org.key))


def counters(call: Call) -> Response:
    """API usage, and requests by status and by path."""
    entries = call.instance.requests.of(call.instance.org.key)
    return _json(
        {
            "api_usage": call.instance.usage.used(),
            "requests": len(entries),
            "by_status": Counter(str(entry.status) for entry in entries),
            "by_path": Counter(f"{entry.method} {entry.path}" for entry in entries),
        }
    )


def change_settings(call: Call) -> Response:
    """Set settings by name."""
    call.instance.settings.change(call.json())
    return _json({})


def restrict(call: Call) -> Response:
    """`{"username", RIGHT: bool, …}`: give or take rights of a user."""
    wanted = call.json()
    user = call.instance.users[str(wanted.pop("username")).lower()]
    for right, value in wanted.items():
        if right not in RIGHTS:
            raise KeyError(right)
        setattr(user, right, bool(value))
    return _json({})


def act(call: Call) -> Response:
    """`{"action"}`: one of ACTIONS."""
    return _json({"result": ACTIONS[call.json()["action"]](call.instance)})


def hand_out(call: Call) -> Response:
    """`?flow=F&username=U`: the contents of a credentials file."""
    return _json(credentials(call.instance, call.query.get("flow", "client_credentials"), call.query.get("username")))


ACTIONS: dict[str, Callable[[Instance], object]] = {
    "expire_sessions": lambda instance: instance.tokens.expire_sessions(),
    "revoke": lambda instance: instance.tokens.revoke_all(),
    "drop_cursors": lambda instance: instance.cursors.drop_all(),
    "move": lambda instance: instance.move(),
    "clear_requests": lambda instance: instance.requests.clear(),
}


def _with_moments(kwargs: dict[str, Any]) -> dict[str, Any]:
    return kwargs | ({"at": datetime.fromisoformat(kwargs["at"])} if kwargs.get("at") else {})


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, date) else float(str(value))


def _json(document: object) -> Response:
    return reply(json.loads(json.dumps(document, default=_plain)))


def _lines(documents: Iterable[object]) -> Response:
    def encoded() -> Iterator[bytes]:
        for document in documents:
            yield json.dumps(document, default=_plain).encode() + b"\n"

    return StreamingResponse(encoded(), media_type="application/x-ndjson")


def _forgiving(handler: Callable[[Call], Response]) -> Callable[[Call], Response]:
    """A mistake in a script is told to the script."""

    def handled(call: Call) -> Response:
        try:
            return handler(call)
        except (KeyError, TypeError, ValueError) as error:
            raise ApiError("BAD_CONTROL_REQUEST", f"{type(error).__name__}: {error}") from error

    return handled


HANDLERS: tuple[tuple[str, str, Callable[[Call], Response]], ...] = (
    ("GET", "org", about),
    ("POST", "edit", edit),
    ("POST", "begin", begin),
    ("GET", "snapshot", snapshot),
    ("GET", "history", history),
    ("POST", "populate", fill),
    ("POST", "clock", clock),
    ("POST", "usage", use_api),
    ("GET", "faults", list_faults),
    ("POST", "faults", add_fault),
    ("DELETE", "faults", clear_faults),
    ("GET", "requests", requests),
    ("GET", "counters", counters),
    ("PATCH", "settings", change_settings),
    ("PATCH", "users", restrict),
    ("POST", "act", act),
    ("GET", "credentials", hand_out),
)
ROUTES = [open_route(f"/_control/{path}", _forgiving(handler), [method]) for method, path, handler in HANDLERS]
