"""Values on their way into the CDP: text arrives as it is, types as themselves, answers about consent as mapped."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdp.records import Consent
from tests.feed import ANN, BOB, FIXED, Cdp, cells, layout, line, row
from tests.oracle import BEGINNING

UNCHANGED = [
    "a\rb", "a\nb", "a\r\nb", "\n", "a\tb", "NULL", "null", "\\N", "#N/A", "007", "1e5", '"', '""', 'say "hi", he', ",",
    "'", "   ", " padded ", "\\.", "a\n\\.\nb", "\\.\n", "\\", "%s {0} $1", "naïve", "日本語", "\U0001f600", "e\u0301",
    "\u00a0", "\ufeffmark", "\u2028", "\u202eright to left", "true", "2026-01-01", "x" * 131_072,
]  # fmt: skip


@pytest.mark.parametrize("scrubbed", [False, True], ids=["plain", "beside a bad row"])
def test_text_arrives_unchanged(cdp: Cdp, scrubbed: bool) -> None:
    rows = [row(replace(ANN, record_id=f"00Q{place:015d}"), company=text) for place, text in enumerate(UNCHANGED)]
    assert cdp.put([*rows, *([row(BOB, company="\x00")] if scrubbed else [])]).written == len(UNCHANGED)
    assert [text for _, text in sorted(cdp.companies().items())] == UNCHANGED


texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(texts | st.text('",\r\n\\. \tN', min_size=1), min_size=1, max_size=30))
def test_any_text_arrives_unchanged(cdp: Cdp, values: list[str]) -> None:
    cdp.reset()
    cdp.put([row(replace(ANN, record_id=f"00Q{place:015d}"), company=text) for place, text in enumerate(values)])
    assert [text for _, text in sorted(cdp.companies().items())] == values


def test_lines_may_end_in_any_one_way(cdp: Cdp) -> None:
    for ending in (b"\n", b"\r\n", b"\r"):
        cdp.reset()
        whole = b"".join(line(row(record, company="a\r\nb")).rstrip(b"\n") + ending for record in (ANN, BOB))
        assert cdp.put_bytes(whole).written == 2
        assert set(cdp.companies().values()) == {"a\r\nb"}


def test_typed_values_arrive_as_their_types(cdp: Cdp) -> None:
    values = {
        "active": "false",
        "interests": "tea;coffee",
        "met_at": "2026-02-01T08:00:00.123+0000",
        "score": "0012.50",
        "since": "2024-02-29",
    }
    cdp.deliver([replace(ANN, values=values)])
    query = "SELECT f_active, f_interests, f_met_at, f_score::text, f_since::text FROM record"
    assert cdp.query(query) == [
        {
            "f_active": False,
            "f_interests": ["tea", "coffee"],
            "f_met_at": BEGINNING.replace(month=2, hour=8, microsecond=123_000),
            "f_score": "12.5",
            "f_since": "2024-02-29",
        }
    ]


OPT_OUT = Consent("Answer", no=frozenset({"true"}), complement=True)
OPT_IN = Consent("Answer", yes=frozenset({"true"}), complement=True)
PICKLIST = Consent("Answer", yes=frozenset({"Yes", "Sure"}), no=frozenset({"No"}))
BOTH = Consent("Answer", yes=frozenset({"Maybe", "Yes"}), no=frozenset({"Maybe"}))
CASES = [
    (OPT_OUT, "true", False),
    (OPT_OUT, "false", True),
    (OPT_OUT, None, None),
    (OPT_IN, "true", True),
    (OPT_IN, "false", False),
    (OPT_IN, None, None),
    (PICKLIST, "Yes", True),
    (PICKLIST, "Sure", True),
    (PICKLIST, "No", False),
    (PICKLIST, "yes", None),
    (PICKLIST, "Perhaps", None),
    (PICKLIST, None, None),
    (BOTH, "Maybe", False),
    (Consent("Answer", yes=frozenset({"100 %s"})), "100 %s", True),
]


@pytest.mark.parametrize(("consent", "text", "may"), CASES)
@pytest.mark.parametrize("channel", ["email", "sms"])
def test_an_answer_is_read_as_the_mapping_says(
    cdp: Cdp, channel: str, consent: Consent, text: str | None, may: bool | None
) -> None:
    shape = layout((), {channel: consent})
    cdp.put([[*cells(ANN, ())[: len(FIXED)], text]], shape)
    assert cdp.query("SELECT email_permission, sms_permission FROM record") == [
        {"email_permission": None, "sms_permission": None, f"{channel}_permission": may}
    ]
