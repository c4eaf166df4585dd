"""The outcome as a table: seconds, ratios, targets, and whether each is met."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

MEBIBYTE = 1 << 20
MOST_EXAMPLES = 5


@dataclass(frozen=True)
class Figure:
    """One line: what, how much in words, and the target with whether it is met, if there is one."""

    what: str
    measured: str
    target: str = ""
    met: bool | None = None


def seconds(values: Sequence[float]) -> str:
    """Return the seconds of several rounds in words."""
    return " · ".join(f"{value:.2f}" for value in values) + " s"


def ratio(what: str, value: float, most: float) -> Figure:
    """Return a figure for a ratio that must not be above `most`."""
    return Figure(what, f"{value:.2f}", f"≤ {most:g}", value <= most)


def memory(what: str, peak: int, most: int) -> Figure:
    """Return a figure for a peak of memory in bytes that must not be above `most` MB."""
    return Figure(what, f"{peak / MEBIBYTE:.0f} MB", f"≤ {most} MB", peak <= most * MEBIBYTE)


def show(console: Console, title: str, figures: Sequence[Figure]) -> None:
    """Print the table."""
    made = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for column in ("", "measured", "target", ""):
        made.add_column(column, justify="right" if column == "measured" else "left")
    for figure in figures:
        verdict = {True: Text("met", "green"), False: Text("missed", "bold red"), None: Text("")}[figure.met]
        made.add_row(figure.what, figure.measured, figure.target, verdict)
    console.print(made)


def write(file: Path, title: str, figures: Sequence[Figure], notes: Sequence[str]) -> None:
    """Write the table and the notes as Markdown."""
    verdicts = {True: "met", False: "**missed**", None: ""}
    machine = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    lines = [f"# {title}", "", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {machine}", ""]
    lines += ["| | measured | target | |", "|---|---:|---|---|"]
    lines += [f"| {f.what} | {f.measured} | {f.target} | {verdicts[f.met]} |" for f in figures]
    lines += ["", *(f"- {note}" for note in notes)]
    file.parent.mkdir(exist_ok=True)
    file.write_text("\n".join(lines) + "\n", "utf-8")
