"""Record ids: fifteen case-sensitive characters, and three more that make them safe where case is lost."""

import re
import zlib
from functools import lru_cache

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CHECK_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_ID = re.compile(r"[0-9A-Za-z]{15}(?:[0-9A-Za-z]{3})?")


@lru_cache(maxsize=4096)
def _check_character(group: str) -> str:
    return _CHECK_ALPHABET[sum(1 << i for i, c in enumerate(group) if "A" <= c <= "Z")]


def check_characters(id15: str) -> str:
    """Return the three check characters: bit i of each is set where character i of its five is upper-case."""
    return _check_character(id15[:5]) + _check_character(id15[5:10]) + _check_character(id15[10:])


def to_18(record_id: str) -> str:
    """Return the 18-character form of a 15- or 18-character id; ValueError if it is neither or its check is wrong."""
    if not _ID.fullmatch(record_id):
        raise ValueError(f"invalid ID: {record_id!r}")
    full = record_id[:15] + check_characters(record_id[:15])
    if len(record_id) == 18 and record_id != full:
        raise ValueError(f"invalid ID: {record_id!r}")
    return full


def base62(number: int, width: int) -> str:
    """Write a number in base 62 with leading zeros; text order is then number order."""
    digits = []
    for _ in range(width):
        number, digit = divmod(number, 62)
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))


def instance_code(key: str) -> str:
    """Return the three characters that tell the ids of one org from those of another (the last one is reserved)."""
    return base62(zlib.crc32(key.encode()) % (62 * 62), 2) + "0"


class IdSequence:
    """Ids of one object in one org, ascending in text order."""

    def __init__(self, prefix: str, instance: str) -> None:
        self._stem = prefix + instance
        self._last = 0

    def next(self) -> str:
        """Return the next 18-character id."""
        self._last += 1
        id15 = self._stem + base62(self._last, 9)
        return id15 + check_characters(id15)
