"""Numbers for Prometheus, all from named queries: any one process tells them for the whole installation.

No label holds anything personal: labels are names of sources, objects, lanes, kinds and states.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from threading import Lock, Thread

import structlog
from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlmodel import Session

from cdp import queries
from cdp.db import transaction
from cdp.errors import CdpError
from cdp.queries import Row
from connector import freshness
from connector.errors import BadInput
from connector.lanes import LANES

COUNT_EVERY = 300.0  # seconds that the numbers of people and records, which take a while to count, are told again
COUNTER = "_total"  # the end of a counter's name; all others are gauges
log = structlog.get_logger()


@dataclass(frozen=True)
class Measure:
    """One metric: its name, what it means, and the column of a query's rows that holds it; the labels are columns too.

    Counters only grow while their source lives. `slow` is what reads big tables.
    """

    name: str
    meaning: str
    query: Callable[[Session], list[Row]]
    column: str
    labels: tuple[str, ...] = ()
    slow: bool = False

    @property
    def type(self) -> str:
        """Its type in the words of Prometheus."""
        return "counter" if self.name.endswith(COUNTER) else "gauge"

    def family(self, rows: Iterable[Row]) -> Metric:
        """Return the metric with a sample for each row that has a value."""
        kind = CounterMetricFamily if self.type == "counter" else GaugeMetricFamily
        made = kind(self.name, self.meaning, labels=self.labels)
        for row in rows:
            if row[self.column] is not None:
                made.add_metric([str(row[label]) for label in self.labels], row[self.column])
        return made


def _sources(session: Session) -> list[Row]:
    return [
        {"source": one["name"], "used": one["api_used"], "limit": one["api_limit"], "attention": bool(one["attention"])}
        for one in queries.sources(session)
    ]


def _lags(session: Session) -> list[Row]:
    unread = freshness.unread(session)
    return [one for one in queries.lags(session) if (one["source_id"], one["object"]) not in unread]


def _lanes(session: Session) -> list[Row]:
    busy = {one["lane"]: one for one in queries.waiting(session)}
    return [busy.get(lane, {"lane": lane, "runs": 0, "oldest_seconds": 0}) for lane in LANES]


def _totals(session: Session) -> list[Row]:
    return [queries.totals(session)]


_KIND, _OBJECT = ("source", "kind"), ("source", "object")
MEASURES = (
    Measure("connector_runs_open", "Runs queued, running or waiting.", queries.open_runs, "runs", (*_KIND, "state")),
    Measure("connector_runs_ended_total", "Runs that ended.", queries.ended_runs, "runs", (*_KIND, "state")),
    Measure(
        "connector_lease_losses_total", "Takeovers of runs from lost workers.", queries.lease_losses, "losses", _KIND
    ),
    Measure("connector_rows_read_total", "Rows read.", queries.rows_moved, "read", _OBJECT),
    Measure(
        "connector_rows_written_total", "Rows that changed what is stored.", queries.rows_moved, "written", _OBJECT
    ),
    Measure("connector_rows_deleted_total", "Rows stored as deleted.", queries.rows_moved, "deleted", _OBJECT),
    Measure("connector_rows_skipped_total", "Rows that changed nothing.", queries.rows_moved, "skipped", _OBJECT),
    Measure("connector_rows_quarantined_total", "Rows set aside.", queries.rows_moved, "quarantined", _OBJECT),
    Measure("connector_quarantine_rows", "Rows in quarantine now.", queries.rows_quarantined, "rows", _OBJECT),
    Measure("connector_lag_seconds", "Seconds since the moment read up to.", _lags, "seconds", _OBJECT),
    Measure("connector_api_calls_used", "API calls of the org in 24 hours.", _sources, "used", ("source",)),
    Measure("connector_api_calls_limit", "API calls allowed in 24 hours.", _sources, "limit", ("source",)),
    Measure("connector_source_needs_attention", "1 when a person is needed.", _sources, "attention", ("source",)),
    Measure("connector_queue_runs", "Runs that a worker could take now.", _lanes, "runs", ("lane",)),
    Measure("connector_queue_age_seconds", "Wait of the oldest of them.", _lanes, "oldest_seconds", ("lane",)),
    Measure("connector_records", "Records stored.", queries.population, "records", (*_OBJECT, "state"), slow=True),
    Measure("connector_people", "People.", _totals, "people", slow=True),
)
UP = "connector_up"
UP_MEANING = "1 when the database answered."


class Installation(Collector):
    """What the database tells at this moment; people and records are counted again only every COUNT_EVERY seconds."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._counting = Lock()
        self._counted: tuple[float, list[Metric]] | None = None

    def collect(self) -> Iterator[Metric]:
        """Yield every metric; raises CdpError when the database does not answer."""
        found = [*_measured(self._url, slow=False), *self._slow()]
        yield GaugeMetricFamily(UP, UP_MEANING, value=1)
        yield from found

    def _slow(self) -> list[Metric]:
        with self._counting:
            if self._counted is None or time.monotonic() - self._counted[0] > COUNT_EVERY:
                self._counted = time.monotonic(), _measured(self._url, slow=True)
            return self._counted[1]


class Served(Installation):
    """The same for who asks again and again: that the database does not answer is a number too."""

    def collect(self) -> Iterator[Metric]:
        """Yield every metric, or only that the database is down."""
        try:
            yield from super().collect()
        except CdpError as error:
            log.warning("metrics_unavailable", error=str(error))
            yield GaugeMetricFamily(UP, UP_MEANING, value=0)


def _measured(url: str, *, slow: bool) -> list[Metric]:
    with transaction(url) as session:
        asked = cache(lambda query: query(session))  # one query may tell several metrics
        return [one.family(asked(one.query)) for one in MEASURES if one.slow == slow]


def exposition(url: str) -> str:
    """Return all metrics in the text form of Prometheus; raises CdpError when the database does not answer."""
    return generate_latest(Installation(url)).decode()


def samples(url: str) -> list[Row]:
    """Return the same as a row for each number: `name`, `labels`, `value`."""
    found = (sample for metric in Installation(url).collect() for sample in metric.samples)
    return [{"name": one.name, "labels": one.labels, "value": one.value} for one in found]


def serve(url: str, host: str, port: int) -> tuple[str, Thread]:
    """Answer scrapes in a thread, at a free port if it is 0; returns the address and the thread.

    Raises:
        BadInput: the address cannot be listened on.
    """
    registry = CollectorRegistry()
    registry.register(Served(url))
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise BadInput(f"Nothing can listen on {host}:{port} ({error.strerror}): choose another address.") from None
    return f"http://{host}:{server.server_port}/metrics", thread
