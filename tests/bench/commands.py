"""The two that are compared, each as a command of its own from start to end: seconds, and peak memory."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from connector.transform import field_types
from tests.bench.mapping import MAPPINGS, SOURCE, plan
from tests.bench.stage import Stage

LOOK_EVERY = 0.02


@dataclass(frozen=True)
class Took:
    """What a command took: seconds on the wall, and the peak of its resident memory in bytes."""

    seconds: float
    peak: int


def ours(stage: Stage, database_url: str) -> Took:
    """Poll by `connector sync --here`, people included."""
    command = [sys.executable, "-m", "connector", "sync", SOURCE, "--here"]
    return _run(command, stage.environment(database_url), stage.folder / "ours.out")


@contextmanager
def worker(stage: Stage, database_url: str) -> Iterator[Callable[[], float]]:
    """Yield a function that has a process poll which is already running, and returns the seconds until it is done."""
    command = [sys.executable, "-m", "tests.bench.warm"]
    pipe = subprocess.PIPE
    environment = stage.environment(database_url)
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True, bufsize=1) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        asked, answered = process.stdin, process.stdout

        def poll() -> float:
            started = time.perf_counter()
            asked.write("poll\n")
            if answered.readline() != "True\n":
                raise SystemExit("The running process did not poll: its own message says why.")
            return time.perf_counter() - started

        poll()  # the first opens connections
        yield poll


def export(stage: Stage, database_url: str, file: Path) -> Took:
    """Export all records as JSON lines."""
    command = [sys.executable, "-m", "connector", "export", "records", "--output", str(file)]
    return _run(command, stage.environment(database_url), stage.folder / "export.out")


def plain(stage: Stage, database_url: str, since: str | None = None) -> Took:
    """Read by the script of an afternoon: all, or what changed since a moment."""
    columns = {}
    for sobject in MAPPINGS:
        types = field_types(stage.org.describe(sobject))
        columns[sobject] = {name: types[name] for name in plan(stage.org, sobject).fields}
    told = {"ca_file": str(stage.org.ca_file), "database_url": database_url, "objects": columns, "since": since}
    environment = {**os.environ, "PLAIN": json.dumps({**stage.org.session, **told})}
    return _run([sys.executable, "-m", "tests.bench.plain"], environment, stage.folder / "plain.out")


def imports() -> Took:
    """Start Python, import the packages that a command of ours cannot do without, and end."""
    needed = "psycopg, pydantic_settings, simple_salesforce, sqlmodel, structlog, typer"
    return _run([sys.executable, "-c", f"import gc; gc.disable(); import {needed}"], dict(os.environ), Path(os.devnull))


def _run(command: list[str], environment: dict[str, str], output: Path) -> Took:
    with output.open("w") as out:
        started = time.perf_counter()
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=subprocess.STDOUT)
        peak = 0
        while process.poll() is None:
            peak = _peak(process.pid) or peak
            time.sleep(LOOK_EVERY)
        seconds = time.perf_counter() - started
    if process.returncode:
        raise SystemExit(f"{' '.join(command[1:])} ended with {process.returncode}:\n{output.read_text()}")
    return Took(seconds, peak)


def _peak(pid: int) -> int:
    """Return the high-water mark of a process's own memory; that of its start would include ours."""
    try:
        status = Path(f"/proc/{pid}/status").read_text("utf-8")
    except OSError:
        return 0
    line = next((line for line in status.splitlines() if line.startswith("VmHWM:")), "VmHWM: 0")
    return int(line.split()[1]) * 1024
