"""What a field accepts: values from scripts and from JSON, turned into the form rows are stored in."""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from .errors import ApiError
from .ids import to_18
from .schema import TEXT_TYPES, Field


def _mismatch(field: Field, value: Any) -> ApiError:  # noqa: ANN401 - whatever a script passed
    return ApiError(
        "INVALID_TYPE_ON_FIELD_IN_RECORD", f"{field.label}: value not of required type: {value}", fields=[field.name]
    )


def _text(field: Field, value: Any) -> str | None:  # noqa: ANN401
    if isinstance(value, (list, tuple)):
        value = ";".join(value)
    if not isinstance(value, str):
        raise _mismatch(field, value)
    if field.length and len(value) > field.length:
        message = f"{field.label}: data value too large: {value[:80]} (max length={field.length})"
        raise ApiError("STRING_TOO_LONG", message, fields=[field.name])
    return value or None


def _email(field: Field, value: Any) -> str | None:  # noqa: ANN401
    text = _text(field, value)
    return text if text and text.strip() else None


def _boolean(field: Field, value: Any) -> bool:  # noqa: ANN401
    if not isinstance(value, bool):
        raise _mismatch(field, value)
    return value


def _integer(field: Field, value: Any) -> int:  # noqa: ANN401
    if isinstance(value, bool) or not isinstance(value, int):
        raise _mismatch(field, value)
    return value


def _number(field: Field, value: Any) -> float:  # noqa: ANN401
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        raise _mismatch(field, value)
    return round(float(value), field.scale)


def _date(field: Field, value: Any) -> date:  # noqa: ANN401
    try:
        parsed = date.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        raise _mismatch(field, value) from None
    if not isinstance(parsed, date) or isinstance(parsed, datetime):
        raise _mismatch(field, value)
    return parsed


def _datetime(field: Field, value: Any) -> datetime:  # noqa: ANN401
    try:
        parsed = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        raise _mismatch(field, value) from None
    if not isinstance(parsed, datetime) or parsed.tzinfo is None:
        raise _mismatch(field, value)
    if parsed.tzinfo is UTC and not parsed.microsecond:
        return parsed
    return parsed.astimezone(UTC).replace(microsecond=0)


def _reference(field: Field, value: Any) -> str | None:  # noqa: ANN401
    if value == "":
        return None
    try:
        return to_18(value)
    except (TypeError, ValueError):
        raise ApiError(
            "MALFORMED_ID", f"{field.label}: id value of incorrect type: {value}", fields=[field.name]
        ) from None


_CLEANERS: Mapping[str, Callable[[Field, Any], Any]] = {
    **dict.fromkeys(TEXT_TYPES, _text),
    **dict.fromkeys(("double", "currency", "percent"), _number),
    **dict.fromkeys(("id", "reference"), _reference),
    "email": _email,
    "boolean": _boolean,
    "int": _integer,
    "date": _date,
    "datetime": _datetime,
}


def clean(field: Field, value: Any) -> Any:  # noqa: ANN401 - the type depends on the field
    """Return the value as stored: text without empty strings, UTC datetimes of whole seconds, 18-character ids.

    Surrounding space stays, except that an email of spaces alone is null. ApiError for a value the field refuses.
    """
    if value is None:
        return False if field.type == "boolean" else None
    return _CLEANERS[field.type](field, value)
