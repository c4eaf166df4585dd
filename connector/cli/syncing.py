"""Commands that move data, through the fleet with live progress or in this process."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from cdp import queries
from cdp.db import transaction
from connector import backfilling, runs, sources, states, sync
from connector.cli.app import Here, Json, SourceName, app, run
from connector.cli.output import console, hints, print_json, print_lines, table
from connector.errors import BadInput, ConnectorError, NeedsAttention, WaitingForQuota
from connector.runtime import Runtime

MOVE = "Move data"
LOOK_EVERY = 0.25
UNCLAIMED_LIMIT = 60.0


@app.command("sync", rich_help_panel=MOVE)
def sync_(
    name: Annotated[str | None, typer.Argument(help="Name or id of one data source; all of them otherwise.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Read everything again, and compare what is gone.")] = False,
    here: Here = False,
    json: Json = False,
) -> None:
    """Poll now; returns when people are up to date."""
    runtime = Runtime()
    done, failure = run_sources(runtime, name, "resync" if full else "poll", here=here)
    if full and failure is None:
        swept, failure = run_sources(runtime, name, "sweep", here=here)
        done += swept
    _show_runs(done, json=json)
    if failure:
        raise failure


@app.command(rich_help_panel=MOVE)
def sweep(
    name: SourceName,
    here: Here = False,
    accept_absent: Annotated[
        bool, typer.Option("--accept-absent", help="Mark as gone even when unusually many records are absent.")
    ] = False,
    json: Json = False,
) -> None:
    """Compare what Salesforce has with what is stored, and heal every difference."""
    runtime = Runtime()
    done, failure = run_sources(runtime, name, "sweep", here=here, options={"accept_absent": accept_absent})
    with transaction(runtime.database_url) as session:
        healed = [item for run in done for item in queries.healed(session, run["run_id"])]
        full = queries.full_read_calls(session, sources.find(session, name).key)
    if json:
        print_json({"runs": done, "healed": healed, "full_read_api_calls": full})
    else:
        _show_runs(done, json=False)
        table(("object", "record", "difference", "outcome"), (list(item.values()) for item in healed))
        calls = sum(run["api_calls"] for run in done)
        compared = f"; the last full read took {full:,}" if full is not None else ""
        differences = "1 difference" if len(healed) == 1 else f"{len(healed):,} differences"
        console.print(f"{differences} healed with {calls:,} API calls{compared}.")
    if failure:
        raise failure


@run.command()
def cancel(
    run_id: Annotated[int, typer.Argument(help="Number of the run.", metavar="RUN")],
    json: Json = False,
) -> None:
    """End a run, whoever works on it; what it has stored stays."""
    runtime = Runtime()
    sync.cancel(runtime, run_id)
    if json:
        print_json(_run(runtime, run_id))
    else:
        console.print(f"Run {run_id} is cancelled; what it has stored stays.")


@app.command(rich_help_panel=MOVE)
def backfill(
    name: SourceName,
    fields: Annotated[
        str | None, typer.Option(help="Fields to fill, as Lead.X,Opportunity.Y; all newly mapped ones otherwise.")
    ] = None,
    objects: Annotated[
        str | None, typer.Option(help="Objects to fill with all their fields, as Opportunity,Account.")
    ] = None,
    estimate: Annotated[bool, typer.Option("--estimate", help="Only say what it would cost; writes nothing.")] = False,
    here: Here = False,
    json: Json = False,
) -> None:
    """Fill fields of records that are there already, while the source goes on being polled."""
    runtime = Runtime()
    with transaction(runtime.database_url) as session:
        source = sources.find(session, name)
        states.check(source, "run")
        wanted = backfilling.chosen(fields, source.mapping, objects)
    if estimate:
        _show_estimate(backfilling.estimate(runtime, source, wanted), json=json)
        return
    done, failure = run_sources(runtime, name, "backfill", here=here, options={"fields": wanted})
    _show_runs(done, json=json)
    if failure:
        raise failure


def _show_estimate(found: list[backfilling.Estimate], *, json: bool) -> None:
    if json:
        print_lines(found)
        return
    table(
        ("object", "fields", "rows", "API calls", "seconds"),
        ((one.object, list(one.fields), one.rows, one.api_calls, one.seconds) for one in found),
    )


def _show_runs(done: list[queries.Row], *, json: bool) -> None:
    if json:
        print_lines(done)
        return
    shown = ("run_id", "source", "kind", "state", "read", "written", "skipped", "deleted", "quarantined", "api_calls")
    table([name.replace("_", " ") for name in shown], ([row[name] for name in shown] for row in done))
    for row in done:
        if row["note"]:
            hints.print(f"{row['source']}: {row['note']}", markup=False)


def run_sources(
    runtime: Runtime, name: str | None, kind: str, *, here: bool, options: dict[str, Any] | None = None
) -> tuple[list[queries.Row], ConnectorError | None]:
    """Have one source or all run, show the progress, and return the finished runs and the first failure."""
    asked = [runs.request(runtime.database_url, one, kind, options) for one in _wanted(runtime, name)]
    failure = carry_out(runtime, asked, here=here)
    return [_run(runtime, run_id) for run_id in asked], failure


def _wanted(runtime: Runtime, name: str | None) -> list[int]:
    with transaction(runtime.database_url) as session:
        if name is not None:
            source = sources.find(session, name)
            states.check(source, "run")
            found = [source.id]
        else:
            found = [row["source_id"] for row in queries.sources(session) if row["state"] == "connected"]
    if not found:
        raise BadInput("There are no connected data sources: connect one with `connector source connect`.")
    return [one for one in found if one is not None]


def _run(runtime: Runtime, run_id: int) -> queries.Row:
    row = _find_run(runtime, run_id)
    if row is None:
        raise ConnectorError(f"Run {run_id} is gone with its data source.")
    return row


def _find_run(runtime: Runtime, run_id: int) -> queries.Row | None:
    with transaction(runtime.database_url) as session:
        row = queries.run(session, run_id)
        if row is None:
            return None
        source = next(one for one in queries.sources(session) if one["source_id"] == row["source_id"])
    return {**row, "source": source["name"], "attention": source["attention"]}


def carry_out(runtime: Runtime, run_ids: list[int], *, here: bool) -> ConnectorError | None:
    """Have the runs done and show their progress; return the first failure, so that the others are not held up."""
    failures = []
    if not here:
        _send(runtime, run_ids)
    with _shown(runtime, run_ids):
        for run_id in run_ids:
            try:
                _do(runtime, run_id) if here else _await(runtime, run_id)
            except ConnectorError as error:
                failures.append(error)
    return failures[0] if failures else None


def _do(runtime: Runtime, run_id: int) -> None:
    """Carry out a run here, as soon as nobody else is at work on it or on what must come before it."""
    with _interrupted_by(signal.SIGTERM):
        while not sync.execute(runtime, run_id):
            row = _find_run(runtime, run_id)
            if row is None or row["state"] not in ("queued", "running"):
                _raise_for(row)
                return
            time.sleep(LOOK_EVERY)


@contextmanager
def _interrupted_by(number: signal.Signals) -> Iterator[None]:
    """Take a signal for Ctrl-C while the block works, so that the run is handed back."""
    before = signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(number, before)


def _send(runtime: Runtime, run_ids: list[int]) -> None:
    from connector import tasks  # noqa: PLC0415 - Celery takes a third of a second to import, which --here does not need

    tasks.hand_over(runtime, run_ids)


def _await(runtime: Runtime, run_id: int) -> None:
    """Wait for a run that somebody else carries out."""
    give_up_at = time.monotonic() + UNCLAIMED_LIMIT
    while (row := _find_run(runtime, run_id)) and row["state"] in ("queued", "running"):
        if row["alive"]:
            give_up_at = time.monotonic() + UNCLAIMED_LIMIT
        if time.monotonic() > give_up_at:
            raise ConnectorError(
                f"No worker worked on run {run_id} for {UNCLAIMED_LIMIT:.0f} s; it is kept for the next one: "
                "start `connector worker` and `connector beat`, or use --here."
            )
        time.sleep(LOOK_EVERY)
    _raise_for(row)


def _raise_for(row: queries.Row | None) -> None:
    if row is None:  # a removal takes its own run away
        return
    if row["state"] == "waiting":
        raise WaitingForQuota(row["error"], row["resume_at"] or datetime.now(UTC))
    if row["state"] == "cancelled":
        raise ConnectorError(f"Run {row['run_id']} was cancelled; what it has stored stays.")
    if row["state"] == "failed":
        attention = row["attention"]
        if attention and attention["code"] == row["error_code"]:
            raise NeedsAttention(attention["code"], attention["message"], attention["remedy"])
        raise ConnectorError(row["error"])


@contextmanager
def _shown(runtime: Runtime, run_ids: list[int]) -> Iterator[None]:
    """Show a bar for each run while the block works: rows, rate and time left, on a terminal only."""
    if not hints.is_terminal:
        yield
        return
    rate = TextColumn("{task.fields[rate]}")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn())
    with Progress(*columns, console=hints, transient=True) as progress:
        bars = {run_id: progress.add_task(f"run {run_id}", total=None, rate="") for run_id in run_ids}
        stop = threading.Event()
        thread = threading.Thread(target=_follow, args=(runtime, progress, bars, stop), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def _follow(runtime: Runtime, progress: Progress, bars: dict[int, TaskID], stop: threading.Event) -> None:
    while not stop.wait(LOOK_EVERY):
        for run_id, bar in bars.items():
            row = _find_run(runtime, run_id)
            if row is None:
                continue
            speed = progress.tasks[bar].speed
            progress.update(
                bar,
                completed=row["read"],
                total=row["expected"],
                description=f"{row['source']}: {row['state']}",
                rate=f"{speed:,.0f} rows/s" if speed else "",
            )
