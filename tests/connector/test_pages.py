"""Reading a window by REST and by Bulk: each row once, whatever expires, breaks off or is refused on the way."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from io import BytesIO
from typing import Any

import pytest
import structlog

from connector import transform
from connector.cursors import Pass, Window, passes
from connector.errors import LocatorGone, SalesforceError, Transient
from connector.objects import LEAD
from connector.pages import Page, Reading, begin, pages
from tests.connector.conftest import Site, people_rows

MAIN = Pass("main", "LastModifiedDate", "")
BEGAN = "2026-01-01T00:00:00+00:00"
Row = dict[str, str]


@pytest.fixture
def org_of(site: Site) -> Site:
    site.connect()
    return site


def reading(
    site: Site, *, threshold: int = 10**6, part: Pass = MAIN, bulk_page: int = 50_000, counted: bool = True
) -> Reading:
    client = site.client()
    types = transform.field_types(client.describe("Lead"))
    plan = transform.plan(LEAD, types, {"LastName": {"to": "last_name"}, "Notes__c": {"to": "notes"}}, {})
    return Reading(client, "Lead", plan.fields, part, threshold, counted, bulk_page)


def rows(reading: Reading, page: Page) -> list[Row]:
    text = b"".join(page.chunks()).decode()
    return [dict(zip(reading.fields, row, strict=True)) for row in csv.reader(io.StringIO(text, newline=""))]


def with_rows(found: Iterable[Page]) -> list[Page]:
    """Pages but for the one that only keeps a new job in the checkpoint."""
    return [page for page in found if page.announced is not None]


def ids(reading: Reading, found: Iterable[Page]) -> list[str]:
    return [row["Id"] for page in found for row in rows(reading, page)]


def asked_soql(site: Site) -> list[str]:
    """The queries asked so far, the count of rows first."""
    return [entry.query for entry in site.server.requests.of("acme", "/queryAll") if entry.query]


def small_pages(site: Site, size: int) -> None:
    site.instance().settings.max_page_size = size


def in_order(site: Site) -> list[str]:
    """Ids of acme's Leads as the keyset goes."""
    found = site.orgs["acme"].snapshot("Lead").values()
    return [row["Id"] for row in sorted(found, key=lambda row: (row["LastModifiedDate"], row["Id"]))]


def spread(site: Site, count: int) -> list[str]:
    """Insert Leads, three on each second, in an order that is not that of their ids; return their ids in order."""
    org = site.orgs["acme"]
    now = org.clock.now()
    for number, row in enumerate(people_rows(count)):
        org.insert("Lead", row, at=now - timedelta(seconds=(number * 7919) % (count // 3 + 1)))
    return in_order(site)


@pytest.mark.parametrize("size", [200, 333, 2000])
def test_rest_pages_hold_each_row_once_and_in_order(org_of: Site, size: int) -> None:
    expected = spread(org_of, 700)
    small_pages(org_of, size)
    work = reading(org_of)
    found = list(pages(work, None))
    assert ids(work, found) == expected
    assert [page.last for page in found] == [False] * (len(found) - 1) + [True]
    assert len(found) == -(-700 // size)
    assert {page.expected for page in found} == {700}
    assert all(page.announced == len(rows(work, page)) for page in found)
    assert {page.read_at for page in found} == {org_of.orgs["acme"].clock.now()}


@pytest.mark.parametrize("gone", range(4))
def test_a_locator_that_expires_on_any_page_is_resumed_by_keyset(org_of: Site, gone: int) -> None:
    org = org_of.orgs["acme"]
    at = org.clock.now() - timedelta(hours=1)
    org.insert_many("Lead", people_rows(3000, LastModifiedDate=at, SystemModstamp=at, CreatedDate=at))
    small_pages(org_of, 600)
    work = reading(org_of)
    fault = org_of.fault("drop_locator", "/query/0", after=gone)
    found = ids(work, pages(work, None))
    assert fault.hits == 1
    assert len(asked_soql(org_of)) == 3
    assert found == in_order(org_of)
    assert len(found) == 3000


def test_locators_that_always_expire_only_cost_time(org_of: Site) -> None:
    expected = spread(org_of, 700)
    small_pages(org_of, 200)
    work = reading(org_of)
    org_of.fault("drop_locator", "/query/0", times=None)
    assert ids(work, pages(work, None)) == expected
    assert len(asked_soql(org_of)) == 5


@pytest.mark.parametrize("transport", ["rest", "bulk"])
def test_reading_goes_on_after_the_checkpoint_of_any_page(org_of: Site, transport: str) -> None:
    spread(org_of, 1000)
    small_pages(org_of, 200)
    work = reading(org_of, threshold=0 if transport == "bulk" else 10**6, bulk_page=200)
    found = with_rows(pages(work, None))
    whole = ids(work, found)
    assert len(found) == 5
    for number, page in enumerate(found[:-1], 1):
        again = list(pages(work, page.checkpoint))
        assert ids(work, again) == whole[number * 200 :]
        assert again[-1].last
    jobs = [entry for entry in org_of.server.requests.of("acme", "/jobs/query") if entry.method == "POST"]
    assert len(jobs) == (transport == "bulk")


def test_no_checkpoint_is_made_of_a_row_that_was_changed_while_pages_were_read(org_of: Site) -> None:
    """Such a row comes where it stood, with its new stamp: behind that, all rows in between would be passed over."""
    org = org_of.orgs["acme"]
    made = []
    for row in people_rows(9):
        made.append(org.insert("Lead", row))
        org.clock.advance(60)
    small_pages(org_of, 3)
    work = replace(reading(org_of), ahead=False)
    found = pages(work, None)
    first = next(found)
    org.clock.advance(1)
    org.update("Lead", made[5], {"LastName": "Edited"})
    second = next(found)
    assert ids(work, [first, second]) == made[:6]
    assert second.checkpoint["id"] == made[4]
    assert ids(work, pages(work, second.checkpoint)) == [*made[6:], made[5]]


@pytest.mark.parametrize("size", [7, 100, 50_000])
def test_bulk_pages_have_no_header_and_each_row_once(org_of: Site, size: int) -> None:
    expected = spread(org_of, 150)
    work = reading(org_of, threshold=100, bulk_page=size)
    found = with_rows(pages(work, None))
    assert sorted(ids(work, found)) == sorted(expected)
    assert len(found) == -(-150 // size)
    assert {page.expected for page in found} == {150}
    assert all(page.announced == len(rows(work, page)) for page in found)
    assert [page.last for page in found] == [False] * (len(found) - 1) + [True]


def test_a_bulk_page_can_be_read_again(org_of: Site) -> None:
    spread(org_of, 10)
    work = reading(org_of, threshold=0)
    [page] = with_rows(pages(work, None))
    assert b"".join(page.chunks()) == b"".join(page.chunks()) != b""


def test_nothing_to_read_is_one_empty_last_page(org_of: Site) -> None:
    work = reading(org_of)
    [page] = pages(work, None)
    assert (rows(work, page), page.last, page.expected, page.announced) == ([], True, 0, 0)


@pytest.mark.parametrize(("header", "expected"), [("every page", [1, 2, 3]), ("first page", [1, 2, 3])])
def test_the_header_may_stand_on_every_page_or_on_the_first(
    org_of: Site, header: str, expected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    work = reading(org_of, threshold=0)
    head = b",".join(b'"' + name.lower().encode() + b'"' for name in work.fields) + b"\r\n"
    monkeypatch.setattr(work.client, "count", lambda *_: 3)
    monkeypatch.setattr(work.client, "create_job", lambda _: "750")
    monkeypatch.setattr(work.client, "job", lambda _: {"state": "JobComplete", "numberRecordsProcessed": 3})

    def job_page(_job: str, locator: str | None, _size: int) -> tuple[BytesIO, int, str | None]:
        number = int(locator or 1)
        line = b",".join([b'"%d"' % number] + [b'""'] * (len(work.fields) - 1)) + b"\n"
        own = head if number == 1 or header == "every page" else b""
        return BytesIO(own + line), 1, str(number + 1) if number < 3 else None

    monkeypatch.setattr(work.client, "job_page", job_page)
    assert ids(work, pages(work, None)) == [str(number) for number in expected]


def test_columns_in_another_order_are_refused(org_of: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    spread(org_of, 3)
    work = reading(org_of, threshold=0)
    swapped = ",".join(f'"{name}"' for name in sorted(work.fields)).encode() + b"\n"
    monkeypatch.setattr(work.client, "job_page", lambda *_: (BytesIO(swapped), 0, None))
    with pytest.raises(SalesforceError) as caught:
        list(pages(work, None))
    assert caught.value.code == "COLUMN_ORDER"


def test_an_org_without_bulk_quota_is_read_by_rest(org_of: Site) -> None:
    expected = spread(org_of, 300)
    org_of.instance().settings.daily_bulk_jobs = 0
    work = reading(org_of, threshold=0)
    assert ids(work, pages(work, None)) == expected


@pytest.mark.parametrize(
    ("status", "code"), [(403, "API_DISABLED_FOR_ORG"), (400, "FEATURENOTENABLED"), (400, "INVALIDENTITY")]
)
def test_an_org_that_refuses_bulk_is_read_by_rest(org_of: Site, status: int, code: str) -> None:
    expected = spread(org_of, 30)
    org_of.fault("error", "/jobs/query", method="POST", times=None, status=status, code=code)
    work = reading(org_of, threshold=0)
    assert ids(work, pages(work, None)) == expected


def test_an_overloaded_org_is_not_taken_for_one_without_bulk(org_of: Site) -> None:
    spread(org_of, 3)
    org_of.fault("server_unavailable", "/jobs/query", method="POST", times=None)
    with pytest.raises(Transient):
        list(pages(reading(org_of, threshold=0), None))


def test_a_later_window_that_turns_out_large_goes_through_bulk(org_of: Site) -> None:
    expected = spread(org_of, 30)
    lo = org_of.orgs["acme"].clock.now() - timedelta(days=1)
    window = Window(lo, lo + timedelta(days=2))
    part = passes(window, cursor_field="LastModifiedDate", has_system_stamp=True)[0]
    work = reading(org_of, threshold=10, part=part, counted=False)
    assert sorted(ids(work, pages(work, None))) == sorted(expected)
    assert org_of.asked("/results") == 1


def test_a_job_that_failed_says_why(org_of: Site) -> None:
    spread(org_of, 3)
    org_of.fault("fail_job", "/jobs/query", method="POST", message="ran out of memory")
    with pytest.raises(SalesforceError, match="ended as Failed: ran out of memory") as caught:
        list(pages(reading(org_of, threshold=0), None))
    assert caught.value.code == "BULK_JOB_FAILED"


def test_a_job_that_takes_its_time_is_waited_for(org_of: Site) -> None:
    expected = spread(org_of, 30)
    org_of.instance().settings.bulk_delay_seconds = 0.5
    work = reading(org_of, threshold=0)
    assert sorted(ids(work, pages(work, None))) == sorted(expected)


def test_a_resumed_job_that_is_gone_starts_anew(org_of: Site) -> None:
    expected = spread(org_of, 30)
    work = reading(org_of, threshold=0)
    gone = {"job": "7505e00000000zzAAA", "locator": "MTA", "began": BEGAN}
    assert sorted(ids(work, pages(work, gone))) == sorted(expected)


def test_rows_of_a_bulk_job_are_as_old_as_the_job(org_of: Site) -> None:
    spread(org_of, 30)
    created = org_of.orgs["acme"].clock.now()
    reader = reading(org_of, threshold=0, bulk_page=10)
    start = begin(reader)
    org_of.orgs["acme"].clock.advance(3600)
    assert {page.read_at for page in pages(reader, start)} == {created}


@pytest.mark.parametrize("kind", ["cut", "reset", "server_unavailable", "expire_session"])
def test_a_download_that_breaks_off_is_made_again(org_of: Site, kind: str) -> None:
    expected = spread(org_of, 300)
    work = reading(org_of, threshold=0, bulk_page=100)
    fault = org_of.fault(kind, "/results", after=1)
    found = ids(work, pages(work, None))
    assert sorted(found) == sorted(expected)
    assert fault.hits == 1


def test_text_with_line_ends_and_commas_stays_one_row(org_of: Site) -> None:
    texts = ['a,"b"', "one\ntwo", "one\r\ntwo", "\ttab", "", " "]
    org_of.orgs["acme"].insert_many("Lead", [{"LastName": "x", "Company": "x", "Notes__c": text} for text in texts])
    by_transport: list[Sequence[Any]] = []
    for threshold in (0, 10**6):
        work = reading(org_of, threshold=threshold)
        found = [row for page in pages(work, None) for row in rows(work, page)]
        by_transport.append(sorted((row["Id"], row["Notes__c"]) for row in found))
    assert by_transport[0] == by_transport[1]
    assert [text for _, text in by_transport[0]] == texts


def test_a_locator_lost_for_good_is_not_hidden(org_of: Site) -> None:
    spread(org_of, 300)
    small_pages(org_of, 200)
    work = reading(org_of)
    org_of.fault("error", "SELECT", times=None, status=400, code="INVALID_QUERY_LOCATOR")
    with pytest.raises(LocatorGone):
        list(pages(work, None))


def test_what_is_logged_while_fetching_ahead_names_its_run_and_source(org_of: Site) -> None:
    org_of.orgs["acme"].insert_many("Lead", people_rows(4))
    org_of.instance().settings.daily_bulk_jobs = 0
    read = reading(org_of, threshold=3, counted=False)
    with (
        structlog.testing.capture_logs([structlog.contextvars.merge_contextvars]) as lines,
        structlog.contextvars.bound_contextvars(run=7, source=1),
    ):
        ids(read, pages(read, {"stamp": None, "id": None}))
    assert [(line["event"], line["run"], line["source"]) for line in lines] == [("bulk_refused", 7, 1)]
