"""Schema drift: what describe says now against what it said last, and what that means for the mapping."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from sqlmodel import Session, select

from cdp import fields
from cdp.models import Finding, ObjectSchema, Source
from connector import findings, transform
from connector.objects import SalesforceObject
from connector.transform import FieldTypes, Plan

log = structlog.get_logger()


@dataclass(frozen=True)
class Drift:
    """Mapped fields not to be read now (`frozen`), whether others changed so that all is read again, and new fields."""

    frozen: frozenset[str]
    reread: bool
    added: tuple[str, ...] = ()


def note(session: Session, source: Source, sobject: SalesforceObject, types: FieldTypes, now: datetime) -> Drift:
    """Compare a fresh describe with the stored one, keep it, and open or close findings about fields that are asked.

    A field that vanished or whose new type does not fit its person field is frozen: its stored values stay as they are.
    So do answers of a permission field that cannot be read, and what people are made by. One that changed its type or
    came back makes everything be read again, since no stamp told of its values; that stays due until `note_read`.
    """
    findings.take_turn(session, source.key)
    stored = session.get(ObjectSchema, (source.key, sobject.name)) or ObjectSchema(
        source_id=source.key, object=sobject.name, fingerprint="", fields={}, seen_at=now
    )
    before, mapping = stored.fields, source.mapping.get(sobject.name, {})
    unfit = _unfit(session, mapping, types)
    missing = {name for name in mapping if name not in types}
    lost = _lost(session, source, sobject, before, types)
    unanswered = _unanswered(source, sobject, types)
    wanted = [_missing(source, sobject, name, now) for name in missing]
    wanted += [_without(source, sobject, name, now) for name in lost]
    wanted += [_retyped(source, sobject, name, types[name], now) for name in unfit]
    wanted += [_silent(source, sobject, name, channels, now) for name, channels in unanswered.items()]
    codes = (findings.MISSING, findings.RETYPED, findings.SILENT)
    back = findings.replace(session, source, sobject.name, codes, wanted) & types.keys()
    asked = mapping.keys() | {rule["field"] for rule in _rules(source, sobject).values()} | set(sobject.kept)
    retyped = {name for name in asked if name in before and types.get(name, before[name]) != before[name]}
    stored.reread = stored.reread or bool((back | retyped) - missing - unfit - unanswered.keys())
    added = tuple(sorted(name for name in types.keys() - before.keys() - asked if before and "." not in name))
    if before and before != dict(types):
        gone = sorted(before.keys() - types.keys())
        log.info("schema_changed", object=sobject.name, added=added, gone=gone, retyped=sorted(retyped))
    if before != dict(types):
        stored.fields, stored.seen_at = dict(types), now
        stored.fingerprint = _fingerprint(types)
    session.add(stored)
    return Drift(frozenset(unfit), stored.reread, added)


def known(session: Session, source_id: int) -> dict[str, ObjectSchema]:
    """Return what describe last said of each object, without those of which it is not believed any more."""
    stored = session.exec(select(ObjectSchema).where(ObjectSchema.source_id == source_id)).all()
    return {schema.object: schema for schema in stored if schema.fields}


def disbelieve(session: Session, source_id: int, sobject: SalesforceObject) -> None:
    """Have an object described anew that is not at each poll: a field was refused."""
    stored = session.get(ObjectSchema, (source_id, sobject.name))
    if stored is not None and sobject.makes == "activities":
        stored.fields = {}


def note_fixed(session: Session, source_id: int, sobject: SalesforceObject, types: FieldTypes, now: datetime) -> Drift:
    """Keep what describe says of an object without a mapping; if a field came back, everything is read again."""
    findings.take_turn(session, source_id)
    seen = {name: types[name] for name in sobject.fixed.values() if name in types}
    stored = session.get(ObjectSchema, (source_id, sobject.name)) or ObjectSchema(
        source_id=source_id, object=sobject.name, fingerprint="", fields={}, seen_at=now
    )
    stored.reread = stored.reread or bool(stored.fields and seen.keys() - stored.fields.keys())
    if stored.fields != seen:
        stored.fields, stored.seen_at, stored.fingerprint = seen, now, _fingerprint(seen)
    session.add(stored)
    return Drift(frozenset(), stored.reread)


def _fingerprint(types: FieldTypes) -> str:
    return hashlib.sha256(json.dumps(sorted(types.items())).encode()).hexdigest()


def note_read(session: Session, source_id: int, plan: Plan) -> None:
    """Note that everything of an object has been read again: its newly mapped fields are filled by that."""
    stored = session.get(ObjectSchema, (source_id, plan.sobject.name))
    if stored is not None:
        stored.reread = False
    source = session.get_one(Source, source_id)
    if any("mapped_at" in target for target in source.mapping.get(plan.sobject.name, {}).values()):
        source.mapping = transform.filled(source.mapping, plan)


def _unfit(session: Session, mapping: Mapping[str, Mapping[str, str]], types: FieldTypes) -> set[str]:
    held = {field.name: field.type for field in fields.registered(session)}
    return {
        name
        for name, target in mapping.items()
        if name in types and held.get(target["to"]) not in (None, transform.person_field(name, target, types).type)
    }


def _lost(
    session: Session, source: Source, sobject: SalesforceObject, before: FieldTypes, types: FieldTypes
) -> set[str]:
    """Return fields by which people are made that cannot be read any more; the email, also if it never could be."""
    told = findings.subjects(session, source, sobject.name, findings.MISSING)
    known = {*before, *told, sobject.fixed["email"]}
    return set(sobject.kept) & known - types.keys() - set(source.mapping.get(sobject.name, {}))


def _rules(source: Source, sobject: SalesforceObject) -> dict[str, Mapping[str, Any]]:
    """Return channel → consent rule of an object."""
    return {channel: rules[sobject.name] for channel, rules in source.permissions.items() if sobject.name in rules}


def _unanswered(source: Source, sobject: SalesforceObject, types: FieldTypes) -> dict[str, list[str]]:
    """Return each field that a consent rule asks and that gives no answer now, with its channels."""
    found: dict[str, list[str]] = {}
    for channel, rule in sorted(_rules(source, sobject).items()):
        if not transform.can_answer(rule, types):
            found.setdefault(rule["field"], []).append(channel)
    return found


def _silent(source: Source, sobject: SalesforceObject, name: str, channels: Sequence[str], now: datetime) -> Finding:
    return Finding(
        source_id=source.key,
        object=sobject.name,
        code=findings.SILENT,
        subject=name,
        message=f"{sobject.name}.{name} cannot be read since {now:%Y-%m-%d %H:%M} UTC, so new {' and '.join(channels)} "
        "opt-outs are not known; the answers it gave are kept.",
        remedy="Give the user read access to the field, or set the permission mapping to another one.",
        since=now,
    )


def _missing(source: Source, sobject: SalesforceObject, name: str, now: datetime) -> Finding:
    target = source.mapping[sobject.name][name]["to"]
    return Finding(
        source_id=source.key,
        object=sobject.name,
        code=findings.MISSING,
        subject=name,
        message=f"{sobject.name}.{name}, mapped to {target}, is broken (was: {name}, missing or hidden since "
        f"{now:%Y-%m-%d %H:%M} UTC); the values it had are kept.",
        remedy="Show the field to the login again, map the field that took its place, or unmap it.",
        since=now,
    )


def _without(source: Source, sobject: SalesforceObject, name: str, now: datetime) -> Finding:
    email = name == sobject.fixed["email"]
    use = "by which records become one person" if email else "by which merges and conversions are known"
    return Finding(
        source_id=source.key,
        object=sobject.name,
        code=findings.MISSING,
        subject=name,
        message=f"{sobject.name}.{name}, {use}, cannot be read since {now:%Y-%m-%d %H:%M} UTC; the values it had are "
        "kept, and new ones are not known.",
        remedy="Give the user read access to the field; everything is read again then.",
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
