"""One org over simple-salesforce in direct session mode: every answer observed, every refusal named by kind."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from tempfile import TemporaryFile
from typing import IO, Any, TypeVar, cast

import requests
import stamina
from pydantic import SecretStr
from simple_salesforce.api import Salesforce
from simple_salesforce.exceptions import SalesforceError as Refusal

from connector import soql
from connector.budget import Limits
from connector.errors import (
    DailyLimitReached,
    QueryTimeout,
    SalesforceError,
    SessionExpired,
    Transient,
)
from connector.http import deadline, plain_errors
from connector.observed import Observed, usage_in, usage_of
from connector.permits import Permits
from connector.refusals import refused

API_VERSION = "66.0"
ATTEMPTS = 6
DOWNLOAD_LIMIT = 1800.0
T = TypeVar("T")


@dataclass(frozen=True)
class Session:
    """What a request needs: an access token and the host it is good for."""

    access_token: SecretStr
    instance_url: str


@dataclass(frozen=True)
class Answer:
    """One page of a query: records as JSON, the full match count, and where the next page is."""

    records: list[dict[str, Any]]
    total: int
    next_url: str | None


@dataclass(frozen=True)
class Deleted:
    """What the delete log has, record id → time of deletion, and how far back it still reaches."""

    times: dict[str, datetime]
    earliest: datetime


class OrgClient:
    """Calls to one org: transient refusals are tried again with growing, jittered pauses, a dead session renewed once.

    `renew` takes the session that died (None at first) and returns a live one. Each call needs one of the `permits`,
    and raises WaitingForQuota without; an org that is not a source yet has none.
    """

    def __init__(
        self,
        http: requests.Session,
        renew: Callable[[Session | None], Session],
        permits: Permits | None = None,
    ) -> None:
        self.observed = Observed()
        self._http = http
        self._permits = permits
        self._http.hooks["response"].append(lambda response, *_args, **_kwargs: self._note(response))
        self._renew = renew
        self._session = renew(None)

    def _note(self, response: requests.Response) -> None:
        self.observed.note(response)
        if self._permits and (usage := usage_in(response)):
            self._permits.note(*usage)
        elif self._permits and response.ok:
            self._permits.note_silence()

    def give_back(self) -> None:
        """Give back the permits that were not used."""
        if self._permits:
            self._permits.give_back()

    def query(self, text: str, *, batch_size: int = 2000) -> Answer:
        """Run a query over live and deleted rows (queryAll); raises by kind, see `refusals`."""
        headers = {"Sforce-Query-Options": f"batchSize={batch_size}"}
        return _answer(self._call(lambda sf: sf.query(text, include_deleted=True, headers=headers)))

    def more(self, next_url: str) -> Answer:
        """Fetch the next page; raises LocatorGone when its cursor has expired."""
        return _answer(self._call(lambda sf: sf.query_more(next_url, identifier_is_url=True)))

    def count(self, sobject: str, condition: str = "") -> int:
        """Count rows, deleted ones included."""
        return self.query(soql.count(sobject, condition)).total

    def versions(self) -> list[str]:
        """Return the API versions the org serves, such as "66.0"."""

        def ask(sf: Salesforce) -> list[str]:
            response = self._http.get(f"https://{sf.sf_instance}/services/data")
            if response.status_code != 200:
                raise refused(response.status_code, _body(response))
            return [item["version"] for item in response.json()]

        return self._call(ask)

    def describe_global(self) -> list[dict[str, Any]]:
        """Return every object the user may see: `name`, `label`, `custom`, `queryable`, …"""
        return cast("list[dict[str, Any]]", self._json("sobjects")["sobjects"])

    def describe(self, sobject: str) -> dict[str, Any]:
        """Describe an object; raises ObjectUnavailable when the user may not see it."""
        return self._json(f"sobjects/{soql.name(sobject)}/describe")

    def covered_to(self, sobject: str) -> datetime | None:
        """Return `latestDateCovered` of /updated, up to which no transaction is open; None if the org does not say."""
        answer = self._replication(sobject, "updated", self.observed.server_time)
        return datetime.fromisoformat(answer["latestDateCovered"]) if answer else None

    def deleted(self, sobject: str, start: datetime) -> Deleted | None:
        """Return what the delete log has from `start` to now; None if the org does not say.

        It goes back 15 days at most, and less when it is full (getDeleted of the SOAP and REST guides).
        """
        answer = self._replication(sobject, "deleted", start)
        if answer is None:
            return None
        times = {row["id"]: datetime.fromisoformat(row["deletedDate"]) for row in answer["deletedRecords"]}
        return Deleted(times, datetime.fromisoformat(answer["earliestDateAvailable"]))

    def _replication(self, sobject: str, what: str, start: datetime) -> dict[str, Any] | None:
        """Ask for a span that ends now; it must begin more than a minute before."""
        end = self.observed.server_time
        span = {"start": soql.stamp(min(start, end - timedelta(minutes=2))), "end": soql.stamp(end)}
        try:
            return self._json(f"sobjects/{soql.name(sobject)}/{what}/", params=span)
        except (Transient, SessionExpired, DailyLimitReached):
            raise
        except SalesforceError:
            return None

    def create_job(self, text: str) -> str:
        """Create a Bulk API 2.0 queryAll job and return its id."""
        body = {"operation": "queryAll", "query": text, "contentType": "CSV", "lineEnding": "LF"}
        return str(self._json("jobs/query", method="POST", json=body)["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        """Return the job's `state`, `numberRecordsProcessed` and, if it failed, `errorMessage`."""
        return self._json("jobs/query/" + job_id)

    def job_page(self, job_id: str, locator: str | None, max_records: int) -> tuple[IO[bytes], int | None, str | None]:
        """Download one page of results into a temporary file: (CSV with header, announced rows, next locator).

        The four letters `null` stand for no further page (Bulk 2.0 guide, "Get Results for a Query Job").
        """
        params = {"maxRecords": str(max_records)} | ({"locator": locator} if locator else {})

        def download(sf: Salesforce) -> tuple[IO[bytes], int | None, str | None]:
            url = sf.base_url + "jobs/query/" + job_id + "/results"
            headers = {"Authorization": sf.headers["Authorization"], "Accept": "text/csv"}
            with deadline(DOWNLOAD_LIMIT), self._http.get(url, params=params, headers=headers, stream=True) as response:
                if response.status_code != 200:
                    raise refused(response.status_code, _body(response))
                file = TemporaryFile()  # noqa: SIM115 - the page's reader closes it
                for chunk in response.iter_content(1 << 18):
                    file.write(chunk)
                announced, following = (response.headers.get(f"Sforce-{key}") for key in ("NumberOfRecords", "Locator"))
            file.seek(0)
            return file, int(announced) if announced else None, None if following in ("null", "") else following

        return self._call(download)

    def _json(self, path: str, **options: Any) -> dict[str, Any]:  # noqa: ANN401 - they are requests' own
        return cast("dict[str, Any]", self._call(lambda sf: sf.restful(path, **options)))

    def _call(self, call: Callable[[Salesforce], T]) -> T:
        for attempt in stamina.retry_context(
            on=_worth_repeating, attempts=ATTEMPTS, wait_initial=0.5, wait_max=30, timeout=300
        ):
            with attempt:
                return self._once(call)
        raise AssertionError  # the loop above returns or raises

    def _once(self, call: Callable[[Salesforce], T]) -> T:
        try:
            return self._attempt(call)
        except SessionExpired:
            self._session = self._renew(self._session)
            return self._attempt(call)

    def _attempt(self, call: Callable[[Salesforce], T]) -> T:
        session = self._session
        client = Salesforce(
            instance_url=session.instance_url,
            session_id=session.access_token.get_secret_value(),
            session=self._http,
            version=API_VERSION,
        )
        if self._permits and self._permits.is_to_ask():
            self._ask_limits(self._permits, client)
        return self._send(client, call)

    def _ask_limits(self, permits: Permits, client: Salesforce) -> None:
        """Ask an org that does not say in its answers how many calls it has used; without an answer work goes on."""
        try:
            usage = usage_of(self._send(client, lambda sf: sf.restful("limits")))
        except SessionExpired:
            permits.note_untold(Limits.UNASKED)
            raise
        except DailyLimitReached:
            raise
        except Transient:
            return
        except SalesforceError:
            usage = None
        if usage is None:
            permits.note_untold(Limits.REFUSED)
        else:
            permits.note(*usage, limits=True)

    def _send(self, client: Salesforce, call: Callable[[Salesforce], T]) -> T:
        permit = self._permits.one() if self._permits else nullcontext()
        with permit, plain_errors(f"https://{client.sf_instance}"):
            try:
                return call(client)
            except Refusal as refusal:
                raise refused(int(refusal.status), refusal.content) from None


def _worth_repeating(error: Exception) -> bool:
    """A query that ran too long would do so again; the reader makes it smaller."""
    return isinstance(error, Transient) and not isinstance(error, QueryTimeout)


def _answer(page: Mapping[str, Any]) -> Answer:
    try:
        following = page["nextRecordsUrl"] if not page["done"] else None
        return Answer(page["records"], page["totalSize"], following)
    except (KeyError, TypeError):
        raise Transient("unreadable_answer", "The org answered a query with something else than a result.") from None


def _body(response: requests.Response) -> object:
    try:
        return response.json()
    except requests.exceptions.JSONDecodeError:
        return response.text
