"""Runs: claimed by one, owned through a lease, written under the current epoch only, due when their time has come."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cdp.db import driver, transaction
from cdp.errors import LeaseLost
from cdp.models import ReadWindow
from cdp.records import Outcome
from connector import lanes, runs
from connector.runs import Lease
from tests.feed import Cdp
from tests.oracle import BEGINNING, Record


def claimed(cdp: Cdp, run_id: int, owner: str = "me") -> Lease:
    lease = runs.claim(cdp.url, run_id, owner)
    assert lease is not None
    return lease


def row(cdp: Cdp, run_id: int) -> dict[str, Any]:
    return cdp.query("SELECT *, lease_until > now() AS alive FROM run WHERE id = %(id)s", id=run_id)[0]


def change(cdp: Cdp, statement: Any) -> None:
    with cdp.session() as session:
        driver(session).execute(statement)


def ready(cdp: Cdp, org_concurrency: int = 9) -> list[int]:
    return [one.run_id for one in lanes.due(cdp.url, org_concurrency)]


def let_leases_run_out(cdp: Cdp) -> None:
    change(cdp, "UPDATE run SET lease_until = now() - interval '1 second'")


def test_one_run_is_open_per_source_and_kind(cdp: Cdp) -> None:
    first = runs.request(cdp.url, 1, "poll")
    assert runs.request(cdp.url, 1, "poll") == first
    others = {runs.request(cdp.url, 2, "poll"), runs.request(cdp.url, 1, "sweep")}
    assert len(others | {first}) == 3
    lease = claimed(cdp, first)
    assert runs.request(cdp.url, 1, "poll") == first
    lease.finish("waiting", resume_at=datetime.now(UTC) + timedelta(hours=1))
    assert runs.request(cdp.url, 1, "poll") == first
    change(cdp, "UPDATE run SET resume_at = now()")
    claimed(cdp, first).finish("succeeded")
    assert runs.request(cdp.url, 1, "poll") != first


def test_many_who_ask_at_once_get_the_same_run(cdp: Cdp) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: runs.request(cdp.url, 1, "poll"), range(40)))) == 1


def test_of_many_who_claim_at_once_one_gets_the_run(cdp: Cdp) -> None:
    run_id = runs.request(cdp.url, 1, "poll")
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda n: runs.claim(cdp.url, run_id, f"worker {n}"), range(40)))
    [lease] = [each for each in taken if each]
    assert (lease.run_id, lease.source_id, lease.kind, lease.epoch) == (run_id, 1, "poll", 1)
    assert row(cdp, run_id)["state"] == "running"
    assert row(cdp, run_id)["alive"]


def test_a_run_that_is_over_waiting_or_owned_is_not_free(cdp: Cdp) -> None:
    run_id = runs.request(cdp.url, 1, "poll")
    lease = claimed(cdp, run_id)
    assert runs.claim(cdp.url, run_id, "other") is None
    lease.finish("waiting", resume_at=datetime.now(UTC) + timedelta(hours=1))
    assert runs.claim(cdp.url, run_id, "other") is None
    change(cdp, "UPDATE run SET resume_at = now()")
    claimed(cdp, run_id).finish("failed", code="x", error="It broke.")
    assert runs.claim(cdp.url, run_id, "other") is None
    assert runs.claim(cdp.url, 10**6, "other") is None


def test_a_lease_that_ran_out_passes_to_the_next(cdp: Cdp) -> None:
    run_id = runs.request(cdp.url, 1, "poll")
    first = claimed(cdp, run_id)
    let_leases_run_out(cdp)
    second = claimed(cdp, run_id, "other")
    assert second.epoch == first.epoch + 1
    assert row(cdp, run_id)["owner"] == "other"


def test_a_stale_owner_cannot_write(cdp: Cdp) -> None:
    run_id = runs.request(cdp.url, 1, "poll")
    stale = claimed(cdp, run_id)
    let_leases_run_out(cdp)
    owner = claimed(cdp, run_id, "other")

    def write() -> None:
        with transaction(cdp.url) as session:
            cdp.store(session, [Record(1, "Lead", "00Q000000000001")])
            stale.note(session, "Lead", Outcome(read=1, written=1))

    with pytest.raises(LeaseLost):
        write()
    assert not cdp.query("SELECT handle FROM record")
    assert not cdp.query("SELECT id FROM touched")
    stale.finish("succeeded")
    stale.hand_back()
    after = row(cdp, run_id)
    assert (after["state"], after["owner"], after["epoch"], after["read"]) == ("running", "other", owner.epoch, 0)


def test_a_stale_owner_cannot_keep_the_lease(cdp: Cdp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "HEARTBEAT_SECONDS", 0.02)
    run_id = runs.request(cdp.url, 1, "poll")
    stale = claimed(cdp, run_id)
    let_leases_run_out(cdp)
    claimed(cdp, run_id, "other")
    let_leases_run_out(cdp)
    with stale.kept_alive():
        time.sleep(0.3)
    assert not row(cdp, run_id)["alive"]


def test_a_heartbeat_keeps_the_lease_while_nothing_is_written(cdp: Cdp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "HEARTBEAT_SECONDS", 0.02)
    run_id = runs.request(cdp.url, 1, "poll")
    lease = claimed(cdp, run_id)
    let_leases_run_out(cdp)
    with lease.kept_alive():
        time.sleep(0.5)
    assert row(cdp, run_id)["alive"]


def test_progress_adds_up_and_keeps_the_lease(cdp: Cdp) -> None:
    run_id = runs.request(cdp.url, 1, "poll")
    lease = claimed(cdp, run_id)
    let_leases_run_out(cdp)
    outcome = Outcome(read=5, written=2, deleted=1, skipped=2, quarantined=1)
    for expected in (10, None, 3):
        with transaction(cdp.url) as session:
            lease.note(session, "Lead", outcome, expected)
    after = row(cdp, run_id)
    names = ("read", "written", "deleted", "skipped", "quarantined", "expected")
    assert [after[name] for name in names] == [15, 6, 3, 6, 3, 13]
    assert after["alive"]


def test_a_run_that_set_rows_aside_is_no_success(cdp: Cdp) -> None:
    run_id = runs.request(cdp.url, 1, "poll")
    lease = claimed(cdp, run_id)
    with transaction(cdp.url) as session:
        lease.note(session, "Lead", Outcome(read=1, quarantined=1))
    lease.finish("succeeded")
    after = row(cdp, run_id)
    assert after["state"] == "incomplete"
    assert after["ended_at"] is not None


def test_a_run_handed_back_is_free_at_once_and_keeps_its_progress(cdp: Cdp) -> None:
    run_id = runs.request(cdp.url, 1, "poll")
    lease = claimed(cdp, run_id)
    with transaction(cdp.url) as session:
        lease.note(session, "Lead", Outcome(read=7))
    lease.hand_back()
    assert row(cdp, run_id)["ended_at"] is None
    again = claimed(cdp, run_id)
    assert again.epoch == lease.epoch + 1
    assert row(cdp, run_id)["read"] == 7


def test_a_failure_is_written_down_and_forgotten_by_the_next_try(cdp: Cdp) -> None:
    run_id = runs.request(cdp.url, 1, "poll")
    claimed(cdp, run_id).finish(
        "waiting", code="quota", error="Too many calls.", resume_at=datetime.now(UTC) - timedelta(seconds=1)
    )
    waiting = row(cdp, run_id)
    assert (waiting["state"], waiting["error_code"], waiting["error"]) == ("waiting", "quota", "Too many calls.")
    assert waiting["ended_at"] is None
    claimed(cdp, run_id)
    assert (row(cdp, run_id)["error"], row(cdp, run_id)["resume_at"]) == (None, None)


def test_due_queues_a_poll_for_each_connected_source_whose_time_has_come(cdp: Cdp) -> None:
    change(cdp, "UPDATE source SET next_poll_at = now() + interval '1 hour' WHERE id = 2")
    change(cdp, "UPDATE source SET state = 'paused' WHERE id = 3")
    found = ready(cdp)
    assert [row(cdp, run_id)["source_id"] for run_id in found] == [1]
    assert ready(cdp) == found


def test_a_source_that_is_blocked_until_a_person_mends_it_is_left_alone(cdp: Cdp) -> None:
    change(cdp, """UPDATE source SET attention = '{"code": "x", "message": "y", "remedy": "z", "blocks": true}'""")
    assert ready(cdp) == []


def test_due_lists_every_run_that_is_free_and_no_other(cdp: Cdp) -> None:
    change(cdp, "UPDATE source SET next_poll_at = now() + interval '1 hour'")
    queued, running, lost, waiting, resumable, over = (
        runs.request(cdp.url, source, kind) for source in (1, 2, 3) for kind in ("poll", "sweep")
    )
    later, past = datetime.now(UTC) + timedelta(hours=1), datetime.now(UTC) - timedelta(seconds=1)
    leases = {run_id: claimed(cdp, run_id) for run_id in (running, lost, waiting, resumable, over)}
    leases[waiting].finish("waiting", resume_at=later)
    leases[resumable].finish("waiting", resume_at=past)
    leases[over].finish("succeeded")
    with cdp.session() as session:
        driver(session).execute("UPDATE run SET lease_until = now() - interval '1 second' WHERE id = %s", (lost,))
    assert ready(cdp) == [queued, lost, resumable]


def test_polls_come_before_initial_syncs_before_backfills_before_removals(cdp: Cdp) -> None:
    change(cdp, "UPDATE source SET next_poll_at = now() + interval '1 hour'")
    change(cdp, "INSERT INTO read_window (source_id, object, run_id, hi) VALUES (2, 'Lead', 0, now())")
    removal, sweep, initial, poll = (
        runs.request(cdp.url, source, kind) for source, kind in ((3, "removal"), (3, "sweep"), (1, "poll"), (2, "poll"))
    )
    found = lanes.due(cdp.url, 9)
    assert [(one.run_id, one.lane) for one in found] == [
        (poll, "polls"),
        (initial, "initial"),
        (sweep, "backfills"),
        (removal, "removals"),
    ]
    assert [lanes.lane_of(cdp.url, one.run_id) for one in found] == [one.lane for one in found]


def test_what_is_handed_back_stands_behind_all_others_of_its_lane(cdp: Cdp) -> None:
    change(cdp, "UPDATE source SET next_poll_at = now() + interval '1 hour'")
    huge, small, smallest = (runs.request(cdp.url, source, "poll") for source in (1, 2, 3))
    claimed(cdp, huge).hand_back()
    assert ready(cdp) == [small, smallest, huge]


def test_of_one_org_no_more_is_worked_on_than_may_be_at_once(cdp: Cdp) -> None:
    change(cdp, "UPDATE source SET next_poll_at = now() + interval '1 hour'")
    ids = [runs.request(cdp.url, 1, kind) for kind in ("poll", "sweep", "backfill")]
    other = runs.request(cdp.url, 2, "sweep")
    assert set(ready(cdp, 2)) == {*ids[:2], other}
    with ThreadPoolExecutor(3) as pool:
        taken = list(pool.map(lambda run_id: runs.claim(cdp.url, run_id, "w", 2), ids))
    assert sum(lease is not None for lease in taken) == 2
    assert ready(cdp, 2) == [other]
    next(lease for lease in taken if lease).hand_back()
    assert len(ready(cdp, 2)) == 2


def unclaimed(cdp: Cdp) -> str | None:
    with cdp.session() as session:
        return lanes.unclaimed(session, 10)


def test_due_work_without_a_worker_or_a_beat_is_noticed(cdp: Cdp) -> None:
    change(cdp, "UPDATE source SET next_poll_at = now() + interval '1 hour'")
    assert unclaimed(cdp) is None
    runs.request(cdp.url, 1, "sweep")
    assert unclaimed(cdp) is None
    change(cdp, "UPDATE run SET queued_at = now() - interval '11 seconds'")
    assert unclaimed(cdp) == "Due work waits for a worker: 1 in backfills for up to 11 s."
    change(cdp, "DELETE FROM run")
    change(cdp, "UPDATE source SET next_poll_at = now() - interval '1 minute' WHERE id = 1")
    assert unclaimed(cdp) == "1 sources are due and nobody queues their polls."


def test_old_runs_are_forgotten_but_for_the_last_of_each_kind(cdp: Cdp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "KEPT_RUNS", 2)
    made = []
    for number in range(4):
        made.append(runs.request(cdp.url, 1, "poll"))
        claimed(cdp, made[-1]).finish("succeeded" if number else "failed")
    alone = runs.request(cdp.url, 1, "sweep")
    claimed(cdp, alone).finish("succeeded")
    change(cdp, "UPDATE run SET ended_at = now() - interval '2 days'")
    waiting = runs.request(cdp.url, 2, "poll")
    assert runs.forget_old(cdp.url, timedelta(days=3)) == 0
    assert runs.forget_old(cdp.url, timedelta(days=1)) == 2
    assert [row["id"] for row in cdp.query("SELECT id FROM run ORDER BY id")] == [*made[2:], alone, waiting]


def test_the_run_that_read_everything_is_not_forgotten(cdp: Cdp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "KEPT_RUNS", 0)
    whole, later = (runs.request(cdp.url, 1, kind) for kind in ("poll", "sweep"))
    for run_id in (whole, later):
        claimed(cdp, run_id).finish("succeeded")
    with cdp.session() as session:
        for run_id, lo in ((whole, None), (later, BEGINNING)):
            session.add(ReadWindow(source_id=1, object="Lead", run_id=run_id, lo=lo, hi=BEGINNING))
    change(cdp, "UPDATE run SET ended_at = now() - interval '2 days'")
    assert runs.forget_old(cdp.url, timedelta(days=1)) == 1
    assert [row["id"] for row in cdp.query("SELECT id FROM run")] == [whole]


def tallies(cdp: Cdp) -> tuple[dict[Any, Any], dict[Any, Any]]:
    """Runs by kind and state with the leases they lost, and rows read by object, of the first source."""
    counted = cdp.query("SELECT * FROM run_tally WHERE source_id = 1")
    moved = cdp.query("SELECT * FROM row_tally WHERE source_id = 1")
    return {(t["kind"], t["state"]): (t["runs"], t["lease_losses"]) for t in counted}, {
        t["object"]: (t["read"], t["imported"], t["updated"], t["quarantined"]) for t in moved
    }


def test_what_runs_did_stays_counted_when_they_are_forgotten(cdp: Cdp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "KEPT_RUNS", 0)
    for state in ("succeeded", "failed", "succeeded"):
        lease = claimed(cdp, runs.request(cdp.url, 1, "poll"))
        with cdp.session() as session:
            lease.note(session, "Lead", Outcome(read=5, written=3, imported=2, quarantined=1))
        lease.finish("waiting", resume_at=datetime.now(UTC))
        claimed(cdp, lease.run_id).finish(state)
    change(cdp, "UPDATE run SET ended_at = now() - interval '2 days'")
    assert runs.forget_old(cdp.url, timedelta(days=1)) == 3
    runs_ended, rows_moved = tallies(cdp)
    assert runs_ended == {("poll", "incomplete"): (2, 0), ("poll", "failed"): (1, 0)}
    assert rows_moved == {"Lead": (15, 6, 3, 3)}


def test_a_lease_that_ran_out_is_counted_when_the_run_is_taken_over(cdp: Cdp) -> None:
    run_id = runs.request(cdp.url, 1, "sweep")
    claimed(cdp, run_id).hand_back()
    for _ in range(3):
        lost = claimed(cdp, run_id)
        let_leases_run_out(cdp)
    assert row(cdp, run_id)["lease_losses"] == 2
    with cdp.session() as session:
        runs.cancel_open(session, 1)
        runs.cancel(session, run_id)
    lost.finish("succeeded")
    assert tallies(cdp)[0] == {("sweep", "cancelled"): (1, 2)}


def test_every_process_has_a_name_of_its_own() -> None:
    assert runs.owner_name() != runs.owner_name()


def test_a_poll_waits_for_a_resync_and_a_resync_for_a_poll_at_work(cdp: Cdp) -> None:
    poll = runs.request(cdp.url, 1, "poll")
    lease = claimed(cdp, poll)
    resync = runs.request(cdp.url, 1, "resync")
    assert runs.claim(cdp.url, resync, "other") is None
    assert runs.claim(cdp.url, runs.request(cdp.url, 2, "resync"), "other"), "another source's is none of its business"
    lease.hand_back()
    assert runs.claim(cdp.url, poll, "me") is None, "it would read by the resync's cursor"
    claimed(cdp, resync).finish("succeeded")
    claimed(cdp, poll)


def test_an_open_resync_does_the_work_of_a_poll(cdp: Cdp) -> None:
    resync = runs.request(cdp.url, 1, "resync")
    assert runs.request(cdp.url, 1, "poll") == resync
    change(cdp, "UPDATE source SET next_poll_at = CASE id WHEN 1 THEN now() ELSE 'infinity'::timestamptz END")
    assert ready(cdp) == [resync]
    claimed(cdp, resync).finish("succeeded")
    [poll] = ready(cdp)
    assert poll != resync
