"""The order of a benchmark: floor, ours, floor, theirs, several rounds, so that a noisy machine is noisy for all."""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field

from tests.bench import commands, edits, values
from tests.bench.commands import Took
from tests.bench.mapping import MAPPINGS, connect, plan
from tests.bench.raw import Floor, floor
from tests.bench.stage import Stage


@dataclass
class Measured:
    """Everything measured, with a value a round; `size` in bytes of CSV, `wrong` values in words."""

    rows: int = 0
    size: int = 0
    read: list[float] = field(default_factory=list)
    copy: list[float] = field(default_factory=list)
    ours: list[Took] = field(default_factory=list)
    plain: list[Took] = field(default_factory=list)
    our_poll: list[Took] = field(default_factory=list)
    plain_poll: list[Took] = field(default_factory=list)
    warm_poll: list[float] = field(default_factory=list)
    imports: list[Took] = field(default_factory=list)
    compared: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def raw(self) -> list[float]:
        """Reading and COPY together."""
        return [read + copy for read, copy in zip(self.read, self.copy, strict=True)]


@dataclass(frozen=True)
class Bench:
    """What a benchmark works with: the stage, the results so far, and `step`, which shows what is being done."""

    stage: Stage
    measured: Measured
    step: Callable[[str], None]

    def run(self, rounds: int, polls: int, changed: int) -> None:
        """Measure everything."""
        self.step("prepare the floor")
        edits.insert_awkward(self.stage.org)
        base = floor(self.stage, {sobject: plan(self.stage.org, sobject).fields for sobject in MAPPINGS})
        self.measured.rows = sum(counted(self.stage, MAPPINGS).values())
        self.measured.size = base.size
        with ExitStack() as stack:
            ours = plain = ""
            for number in range(rounds):
                ours, plain = (stack.enter_context(self.stage.database(f"{it}_{number}")) for it in ("ours", "plain"))
                self._load(base, ours, plain)
            self._compare(ours)
            self._poll(ours, plain, polls, changed)

    def _load(self, base: Floor, ours: str, plain: str) -> None:
        connect(self.stage, ours)
        self._floor(base)
        self.step("ours")
        self.measured.ours.append(commands.ours(self.stage, ours))
        self._floor(base)
        self.step("plain")
        self.measured.plain.append(commands.plain(self.stage, plain))

    def _floor(self, base: Floor) -> None:
        self.step("floor")
        with self.stage.database("floor") as url:
            self.measured.read.append(base.read())
            self.measured.copy.append(base.copy(url))

    def _compare(self, ours: str) -> None:
        self.step("compare every value")
        file = self.stage.folder / "records.jsonl"
        commands.export(self.stage, ours, file)
        self.measured.compared, self.measured.wrong = values.differences(self.stage.org, file)

    def _poll(self, ours: str, plain: str, polls: int, changed: int) -> None:
        """Poll several times, in turns first by ours and first by plain, and then by a process that is running."""
        ids = edits.some_ids(self.stage.org, changed)
        with commands.worker(self.stage, ours) as warm:
            for number in range(polls):
                self.step(f"change {changed:,} rows, poll {number + 1}")
                since = edits.change(self.stage.org, ids, 2 * number)
                if number % 2:
                    self.measured.plain_poll.append(commands.plain(self.stage, plain, since))
                self.measured.our_poll.append(commands.ours(self.stage, ours))
                if not number % 2:
                    self.measured.plain_poll.append(commands.plain(self.stage, plain, since))
                edits.change(self.stage.org, ids, 2 * number + 1)
                self.measured.warm_poll.append(warm())
                self.measured.imports.append(commands.imports())


def counted(stage: Stage, sobjects: Iterable[str]) -> dict[str, int]:
    """Return how many rows of each object the org holds."""
    counts = stage.org.control.org()["counts"]
    return {sobject: counts[sobject] for sobject in sobjects}
