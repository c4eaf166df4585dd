"""A sweep of many records of which a few were tampered with in the database: what it heals and what it costs."""

from dataclasses import dataclass

from tests.faults.scene import NONE, Scene

MISSING, STALE, PHANTOM = 13, 12, 12


@dataclass(frozen=True)
class Swept:
    """What was tampered with and what the sweep said, as record id → difference, and API calls of either way."""

    tampered: dict[str, str]
    healed: dict[str, str]
    calls: int
    full_read_calls: int

    def __str__(self) -> str:
        return (
            f"{len(self.healed)} of {len(self.tampered)} healed with {self.calls} API calls; "
            f"a full read takes {self.full_read_calls}"
        )


def fill(scene: Scene, rows: int) -> None:
    """Connect an org of so many records and read it."""
    values = [
        {"LastName": f"L {n}", "Company": "Lima Lda", "Email": f"p{n // 2}@example.org"} for n in range(rows // 2)
    ]
    scene.org.insert_many("Lead", values)
    scene.org.insert_many("Contact", [{"LastName": f"C {n}", "Email": f"p{n}@example.org"} for n in range(rows // 2)])
    scene.later(3600)
    scene.connect()
    scene.poll()


def tamper(scene: Scene) -> dict[str, str]:
    """Lose, age and invent records behind the product's back; return record id → what a sweep should call it."""
    leads = sorted(scene.states("Lead"))[:: max(1, len(scene.states("Lead")) // (MISSING + STALE))]
    missing, stale = leads[:MISSING], leads[MISSING : MISSING + STALE]
    phantom = [scene.org.reserve_id("Lead") for _ in range(PHANTOM)]
    _touch(scene, "DELETE FROM record WHERE record_id = ANY(%(ids)s) RETURNING handle", missing)
    _touch(
        scene,
        "UPDATE record SET version_at = version_at - interval '1 day', f_last_name = 'Old', email = NULL"
        " WHERE record_id = ANY(%(ids)s) RETURNING handle",
        stale,
    )
    _touch(
        scene,
        "INSERT INTO record (handle, source_id, object, record_id, state, created_at, modified_at, version_at, read_at,"
        " rank) SELECT record_handle(s.org_id, 'Lead', one), s.id, 'Lead', one, 'live', now(), now(), now(),"
        " s.created_at - interval '1 year', 1 FROM unnest(%(ids)s::text[]) AS one, source AS s RETURNING handle",
        phantom,
    )
    kinds = {"missing": missing, "stale": stale, "phantom": phantom}
    return {record_id: kind for kind, ids in kinds.items() for record_id in ids}


def _touch(scene: Scene, statement: str, ids: list[str]) -> None:
    changed = scene.query(statement, ids=ids)
    scene.query(
        "INSERT INTO touched (handle) SELECT unnest(%(handles)s::uuid[]) RETURNING handle",
        handles=[row["handle"] for row in changed],
    )


def sweep(scene: Scene) -> Swept:
    """Tamper, sweep, check that all is as before, and read everything once for the cost."""
    tampered = tamper(scene)
    run = scene.attempt("sweep")
    healed = scene.query("SELECT record_id, difference FROM sweep_healed WHERE run_id = %(run)s", run=run["run_id"])
    full = scene.attempt("resync")
    assert (run["state"], full["state"]) == ("succeeded", "succeeded")
    assert full["written"] == 0, "the sweep left nothing to heal"
    assert scene.differences() == NONE
    found = {row["record_id"]: row["difference"] for row in healed}
    return Swept(tampered, found, run["api_calls"], full["api_calls"])
