"""Which state of a source follows which, and what to do where a step is not possible: values and sentences only."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from cdp.models import Source
from connector.errors import Refused

LIVING = ("connected", "paused")


@dataclass(frozen=True)
class Step:
    """One step: the states it may start from, and the state it leads to; None leaves the state as it is."""

    starts: tuple[str, ...]
    leads_to: str | None


STEPS: Mapping[str, Step] = MappingProxyType(
    {
        "pause": Step(("connected",), "paused"),
        "resume": Step(("paused",), "connected"),
        "disconnect": Step(LIVING, "disconnected"),
        "reconnect": Step(("disconnected",), "connected"),
        "archive": Step(("disconnected",), "archived"),
        "delete": Step(("archived", "deleting"), "deleting"),
        "reauthenticate": Step((*LIVING, "disconnected"), None),
        "run": Step(("connected",), None),
        "ask": Step(LIVING, None),
    }
)
# Under None stands what to do in any other case.
ADVICE: Mapping[str, Mapping[str | None, str]] = MappingProxyType(
    {
        "connected": {
            "resume": "there is nothing to resume",
            "reconnect": "there is nothing to reconnect",
            "archive": "disconnect it first",
            "delete": "disconnect and archive it first",
        },
        "paused": {
            "pause": "there is nothing to pause",
            "reconnect": "resume it instead",
            "archive": "disconnect it first",
            "delete": "disconnect and archive it first",
            None: "resume it first",
        },
        "disconnected": {
            "disconnect": "there is nothing to disconnect",
            "resume": "reconnect it instead",
            "delete": "archive it first",
            None: "reconnect it first",
        },
        "archived": {None: "it can only be deleted, and the org connected anew"},
        "deleting": {None: "wait until it is gone, or go on with `connector source delete`"},
    }
)


def check(source: Source, step: str) -> None:
    """Refuse a step that the state of a source does not allow.

    Raises:
        Refused: with the state, and what to do.
    """
    if source.state not in STEPS[step].starts:
        known = ADVICE[source.state]
        raise Refused(f"The data source '{source.name}' is {source.state}: {known.get(step) or known[None]}.")
