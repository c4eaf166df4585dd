"""What an admin can do to a source: when, with which consequences, and the function that the command line calls too."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cdp.db import transaction
from cdp.models import Source
from connector import backfilling, lifecycle, runs, sources, states
from connector.audit import Actor, noted
from connector.errors import BadInput, Refused
from connector.runtime import Runtime

Chosen = Mapping[str, str]
Doing = Callable[[Runtime, Source, Chosen], object]


@dataclass(frozen=True)
class Action:
    """One action: its button, the step of `states` that says when it is possible, and what it does, in words and deed.

    `done` is said when it is done; `danger` marks what cannot be taken back or stops something.
    """

    title: str
    step: str
    consequences: tuple[str, ...]
    done: str
    do: Doing
    danger: bool = False


def _run(kind: str) -> Doing:
    def ask(runtime: Runtime, source: Source, _chosen: Chosen) -> int:
        with transaction(runtime.database_url) as database:
            states.check(sources.find(database, str(source.key)), "run")
        return runs.request(runtime.database_url, source.key, kind)

    return ask


def _step(name: str) -> Doing:
    return lambda runtime, source, _chosen: lifecycle.take(runtime, str(source.key), name)


def _backfill(runtime: Runtime, source: Source, chosen: Chosen) -> int:
    with transaction(runtime.database_url) as database:
        states.check(sources.find(database, str(source.key)), "run")
    fields = backfilling.chosen(chosen.get("fields") or None, source.mapping)
    return runs.request(runtime.database_url, source.key, "backfill", {"fields": fields})


def _delete(runtime: Runtime, source: Source, chosen: Chosen) -> int:
    if chosen.get("name") != source.name:
        raise BadInput("That is not the name of the data source: type it as it is written, to delete it.")
    return lifecycle.begin_removal(runtime, str(source.key))


QUEUED = "It is queued: a worker takes it within seconds, and its progress shows here."
ACTIONS: Mapping[str, Action] = {
    "sync": Action(
        "Sync now",
        "run",
        ("Reads what changed in the org since the last poll, and brings people up to date.",),
        QUEUED,
        _run("poll"),
    ),
    "resync": Action(
        "Full resync",
        "run",
        (
            "Reads every record of the org again. That takes a while and uses API calls.",
            "The source shows updating until it is done; its filter, fields and permissions are locked meanwhile.",
            "Nothing that is stored gets lost, and unchanged records stay as they are.",
        ),
        QUEUED,
        _run("resync"),
    ),
    "sweep": Action(
        "Sweep",
        "run",
        (
            "Compares ids and versions of everything in the org with what is stored, and heals every difference.",
            "If unusually many records are absent there, it stops and asks, since lost permissions look the same.",
        ),
        QUEUED,
        _run("sweep"),
    ),
    "backfill": Action(
        "Backfill",
        "run",
        (
            "Reads the chosen fields of all records that are stored already.",
            "Polls go on meanwhile; filter, fields and permissions are locked until it is done.",
        ),
        QUEUED,
        _backfill,
    ),
    "pause": Action(
        "Pause",
        "pause",
        ("Nothing is read until it is resumed; the first poll after that catches up.",),
        "It is paused.",
        _step("pause"),
    ),
    "resume": Action("Resume", "resume", ("Polling goes on at once.",), "It is resumed.", _step("resume")),
    "disconnect": Action(
        "Disconnect",
        "disconnect",
        (
            "Work under way ends, and the session with the org is forgotten.",
            "Records, people and credentials stay; it can be reconnected.",
        ),
        "It is disconnected.",
        _step("disconnect"),
        danger=True,
    ),
    "reconnect": Action(
        "Reconnect",
        "reconnect",
        ("Tries the stored credentials and, if they work, goes on where it was.",),
        "It is connected again.",
        lambda runtime, source, _chosen: lifecycle.reconnect(runtime, str(source.key)),
    ),
    "archive": Action(
        "Archive",
        "archive",
        ("It can then only be deleted. What it brought stays until that.",),
        "It is archived.",
        _step("archive"),
        danger=True,
    ),
    "delete": Action(
        "Delete",
        "delete",
        ("This cannot be taken back. The org can be connected anew afterwards, as a new data source.",),
        "It is being deleted.",
        _delete,
        danger=True,
    ),
}


def possible(source: Source) -> dict[str, Action]:
    """Return the actions that the source's state allows."""
    return {name: action for name, action in ACTIONS.items() if source.state in states.STEPS[action.step].starts}


def refusal(source: Source, name: str) -> str:
    """Return why an action is not possible in the source's state and what to do, or nothing."""
    try:
        states.check(source, ACTIONS[name].step)
    except Refused as error:
        return str(error)
    return ""


def perform(runtime: Runtime, actor: Actor, source: Source, name: str, chosen: Chosen) -> None:
    """Carry out an action and note who did.

    Raises:
        ConnectorError: it is refused; the sentence says why.
    """
    details = {key: value for key, value in chosen.items() if key == "fields" and value}
    with noted(runtime.database_url, actor, name, source.name, source_id=source.key, **details):
        ACTIONS[name].do(runtime, source, chosen)
