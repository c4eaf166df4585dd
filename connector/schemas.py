"""Schema drift: what describe says now against what it said last, and what that means for the mapping."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlmodel import Session

from cdp import fields
from cdp.models import Finding, ObjectSchema, Source
from connector import findings, transform
from connector.objects import SalesforceObject
from connector.transform import FieldTypes

log = structlog.get_logger()


@dataclass(frozen=True)
class Drift:
    """Mapped fields that must not be read now (`frozen`), and whether others changed so that all is read again."""

    frozen: frozenset[str]
    reread: bool


def note(session: Session, source: Source, sobject: SalesforceObject, types: FieldTypes, now: datetime) -> Drift:
    """Compare a fresh describe with the stored one, keep it, and open or close findings about mapped fields.

    A field that vanished or whose new type does not fit its person field is frozen: its stored values stay as they are.
    One that changed its type or came back makes everything be read again, since no stamp told of its values; that
    stays due until `note_read`.
    """
    stored = session.get(ObjectSchema, (source.key, sobject.name)) or ObjectSchema(
        source_id=source.key, object=sobject.name, fingerprint="", fields={}, seen_at=now
    )
    before, mapping = stored.fields, source.mapping.get(sobject.name, {})
    unfit = _unfit(session, mapping, types)
    missing = {name for name in mapping if name not in types}
    wanted = [_missing(source, sobject, name, now) for name in missing]
    wanted += [_retyped(source, sobject, name, types[name], now) for name in unfit]
    codes = (findings.MISSING, findings.RETYPED)
    back = findings.replace(session, source, sobject.name, codes, wanted) & types.keys()
    retyped = {name for name in mapping if name in before and types.get(name, before[name]) != before[name]}
    stored.reread = stored.reread or bool((back | retyped) - missing - unfit)
    if before and before != dict(types):
        added, gone = sorted(types.keys() - before.keys()), sorted(before.keys() - types.keys())
        log.info("schema_changed", object=sobject.name, added=added, gone=gone, retyped=sorted(retyped))
    if before != dict(types):
        stored.fields, stored.seen_at = dict(types), now
        stored.fingerprint = hashlib.sha256(json.dumps(sorted(types.items())).encode()).hexdigest()
    session.add(stored)
    return Drift(frozenset(unfit), stored.reread)


def note_read(session: Session, source_id: int, sobject: str) -> None:
    """Note that everything of an object has been read again."""
    stored = session.get(ObjectSchema, (source_id, sobject))
    if stored is not None:
        stored.reread = False


def _unfit(session: Session, mapping: Mapping[str, Mapping[str, str]], types: FieldTypes) -> set[str]:
    held = {field.name: field.type for field in fields.registered(session)}
    return {
        name
        for name, target in mapping.items()
        if name in types and held.get(target["to"]) not in (None, transform.person_field(name, target, types).type)
    }


def _missing(source: Source, sobject: SalesforceObject, name: str, now: datetime) -> Finding:
    target = source.mapping[sobject.name][name]["to"]
    return Finding(
        source_id=source.key,
        object=sobject.name,
        code=findings.MISSING,
        subject=name,
        message=f"{sobject.name}.{name}, mapped to {target}, is missing or hidden since {now:%Y-%m-%d %H:%M} UTC; "
        "the values it had are kept.",
        remedy="Show the field to the login again, map the field that took its place, or unmap it.",
        since=now,
    )


def _retyped(source: Source, sobject: SalesforceObject, name: str, kind: str, now: datetime) -> Finding:
    target = source.mapping[sobject.name][name]["to"]
    return Finding(
        source_id=source.key,
        object=sobject.name,
        code=findings.RETYPED,
        subject=name,
        message=f"{sobject.name}.{name} is now of type {kind}, which {target} cannot hold; its old values are kept.",
        remedy="Map the field to another person field.",
        since=now,
    )
