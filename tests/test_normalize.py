"""The email key and blankness: SQL and Python say the same of any text, and the known cases come out as promised."""

import unicodedata

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cdp.db import driver, transaction
from cdp.normalize import SPACES, email_key

# One database serves all examples: the functions under test read no table.
SHARED = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
TEXTS_PER_EXAMPLE = 40

KNOWN = [
    ("ann@acme.com", "ann@acme.com"),
    ("  Ann.Lee+News@ACME.Com\r\n", "ann.lee+news@acme.com"),
    ("\u3000ann@acme.com\u00a0", "ann@acme.com"),
    ("\x1cann@acme.com\x1f", "ann@acme.com"),
    ("\ufeffan\u200bn@acme.com\u2060", "ann@acme.com"),
    ("\u200b ann@acme.com \u200e", "ann@acme.com"),
    ("ａｎｎ＠ａｃｍｅ．ｃｏｍ", "ann@acme.com"),
    ("ann﹫acme.com", "ann@acme.com"),
    ("ﬁnn@acme.com", "finn@acme.com"),
    ("e\u0301va@acme.com", "éva@acme.com"),
    ("ÉVA@acme.com", "éva@acme.com"),
    ("\u212aim@acme.com", "kim@acme.com"),
    ("\u0130pek@acme.com", "ipek@acme.com"),
    ("ΣΟΦΟΣ@acme.com", "σοφοσ@acme.com"),
    ("STRAẞE@acme.com", "straße@acme.com"),
    ("straße@acme.com", "straße@acme.com"),
    ("a@b.", "a@b."),
    ("a@b c.de", "a@b c.de"),
    ("'; DROP TABLE person; --@x.y", None),
    ("a b@acme.com", None),
    ("a\u00a0b@acme.com", None),
    ("¨a@acme.com", None),
    ("ann@acme@com", None),
    ("ann＠acme@com", None),
    ("@acme.com", None),
    ("\u200b@acme.com", None),
    ("ann@acme", None),
    ("ann.acme.com", None),
    ("@", None),
    ("", None),
    (" ", None),
]
HOSTILE = (
    *"@@@..aAzZ ßẞſKÅİıΣςσ\u0301\u0323\u0307\u0345\u00ad\u00a8\u2024\u2100\ufb01\ufdfa\uff20\ufe6b\uff0e\u3002",
    *"\u0600\u070f\u180e\u200b\u200d\u200e\u202e\u2060\ufeff\U000110bd\U000e0041",
    *SPACES,
    *"가\u1100\u1161\u0958\u0344\u2126\u1e9b\ua7ae\U00010400\U0001e900\U0001d400",
)


def _is_assigned(letter: str) -> bool:
    """What this Python's Unicode version leaves unassigned may have a case or a decomposition in the database's.

    Of assigned characters the normal form never changes, and neither does a lower-case mapping once there is one.
    """
    return letter != "\x00" and unicodedata.category(letter) not in ("Cn", "Cs")


letters = st.characters(exclude_categories=("Cn", "Cs"), exclude_characters="\x00")
hostile_letters = st.sampled_from([letter for letter in HOSTILE if _is_assigned(letter)]) | letters
hostile = st.text(hostile_letters, max_size=12)
addresses = st.tuples(hostile, st.sampled_from("@＠﹫"), hostile, st.sampled_from(".．"), hostile).map("".join)
batches = st.lists(hostile | addresses, min_size=TEXTS_PER_EXAMPLE, max_size=TEXTS_PER_EXAMPLE)


def in_sql(database_url: str, function: str, texts: list[str]) -> list[object]:
    query = f"SELECT {function}(text) FROM unnest(%s::text[]) WITH ORDINALITY AS t(text, place) ORDER BY place"
    with transaction(database_url) as session:
        return [row[0] for row in driver(session).execute(query, (texts,))]


@pytest.mark.parametrize(("raw", "key"), KNOWN)
def test_known_addresses_have_their_keys(raw: str, key: str | None) -> None:
    assert email_key(raw) == key


def test_known_addresses_have_their_keys_in_sql(database_url: str) -> None:
    assert in_sql(database_url, "email_key", [raw for raw, _ in KNOWN]) == [key for _, key in KNOWN]


def test_no_address_has_no_key(database_url: str) -> None:
    with transaction(database_url) as session:
        assert driver(session).execute("SELECT email_key(NULL), is_blank(NULL)").fetchone() == (None, None)


@SHARED
@given(batches)
@example([raw for raw, _ in KNOWN])
def test_sql_and_python_agree_on_the_key(database_url: str, texts: list[str]) -> None:
    assert in_sql(database_url, "email_key", texts) == [email_key(text) for text in texts]


def test_sql_and_python_agree_on_every_character(database_url: str) -> None:
    every = [f"{chr(code)}a{chr(code)}b{chr(code)}@c.d" for code in range(0x110000) if _is_assigned(chr(code))]
    keys = in_sql(database_url, "email_key", every)
    assert [pair for pair in zip(every, keys, strict=True) if email_key(pair[0]) != pair[1]] == []


blanks = st.text(st.sampled_from([*SPACES, "\u200b", "\u180e", "x"]), max_size=4)


@SHARED
@given(st.lists(blanks | hostile, min_size=TEXTS_PER_EXAMPLE, max_size=TEXTS_PER_EXAMPLE))
@example(["", *SPACES, SPACES, "\u200b", "x" + SPACES, SPACES + "x", "0", "false"])
def test_sql_and_python_agree_on_what_is_blank(database_url: str, texts: list[str]) -> None:
    assert in_sql(database_url, "is_blank", texts) == [not text.strip(SPACES) for text in texts]


def test_the_spaces_are_those_of_unicode() -> None:
    assert set(SPACES) == {chr(code) for code in range(0x110000) if chr(code).isspace()}
