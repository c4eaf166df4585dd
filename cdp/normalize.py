"""What an email key is: one definition, as SQL for the database and as Python for tests that hold the two equal."""

import re
import unicodedata
from typing import LiteralString

from psycopg import sql

# General category Cf of Unicode 15, written out so that the database's and Python's Unicode versions do not matter.
FORMAT_RANGES = (
    (0x00AD, 0x00AD), (0x0600, 0x0605), (0x061C, 0x061C), (0x06DD, 0x06DD), (0x070F, 0x070F), (0x0890, 0x0891),
    (0x08E2, 0x08E2), (0x180E, 0x180E), (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x2064), (0x2066, 0x206F),
    (0xFEFF, 0xFEFF), (0xFFF9, 0xFFFB), (0x110BD, 0x110BD), (0x110CD, 0x110CD), (0x13430, 0x1343F),
    (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0001, 0xE0001), (0xE0020, 0xE007F),
)  # fmt: skip
ASCII_SPACES = "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f "
SPACES = ASCII_SPACES + "\x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"

_FORMAT_CLASS = "".join(f"{chr(low)}-{chr(high)}" for low, high in FORMAT_RANGES)
_FORMAT = re.compile(f"[{_FORMAT_CLASS}]")


def email_key(raw: str) -> str | None:
    """Return the key under which records meet, or None for an address that merges nobody.

    Format characters and surrounding space go, NFKC, lower case letter by letter (no casefolding, no context). Valid is
    exactly one `@`, a non-empty local part without spaces, and a domain with a dot.
    """
    text = unicodedata.normalize("NFKC", _FORMAT.sub("", raw).strip(SPACES))
    key = "".join(letter.lower()[0] for letter in text)
    local, _, domain = key.partition("@")
    valid = key.count("@") == 1 and local and "." in domain and not set(local) & set(SPACES)
    return key if valid else None


def sql_functions() -> tuple[sql.Composed, ...]:
    """Return the statements that create `email_normal`, `email_key` and `is_blank`, for the migration to run."""
    words = {
        "spaces": sql.Literal(SPACES),
        "ascii_spaces": sql.Literal(ASCII_SPACES),
        "formats": sql.Literal(f"[{_FORMAT_CLASS}]"),
        "valid": sql.Literal(f"^[^@{SPACES}]+@[^@]*\\.[^@]*$"),
    }
    return tuple(sql.SQL(text).format(**words) for text in (_EMAIL_NORMAL, _EMAIL_KEY, _IS_BLANK))


# The first branch is the second for plain ASCII, several times faster. None of these is STRICT: the planner would then
# not inline them, which costs a microsecond a call.
_EMAIL_NORMAL: LiteralString = """
    CREATE OR REPLACE FUNCTION email_normal(raw text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN octet_length(raw) = char_length(raw)
        THEN lower(btrim(raw, {ascii_spaces}) COLLATE "C")
        ELSE lower(normalize(btrim(regexp_replace(raw COLLATE "C", {formats}, '', 'g'), {spaces}), NFKC)
                   COLLATE pg_c_utf8) COLLATE "C" END
"""
_EMAIL_KEY: LiteralString = """
    CREATE OR REPLACE FUNCTION email_key(raw text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN email_normal(raw) ~ {valid} THEN email_normal(raw) END
"""
_IS_BLANK: LiteralString = """
    CREATE OR REPLACE FUNCTION is_blank(value text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN ascii(value) BETWEEN 33 AND 126 THEN false ELSE btrim(value, {spaces}) = '' END
"""
