"""Data sources: connecting an org, the pin on its id, its sealed credentials, and the one renewal of a session."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import SecretStr
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session as Database
from sqlmodel import select
from sqlmodel.sql.expression import SelectOfScalar

from cdp import fields
from cdp.db import LARGEST_ID, driver, transaction
from cdp.models import Source
from connector import checks, notices, transform
from connector.auth import Credentials, Login, RefreshToken, dump_credentials, parse_credentials, sign_in
from connector.client import OrgClient, Session
from connector.errors import SWEEP_BRAKE, BadInput, NeedsAttention, ObjectUnavailable, Refused
from connector.hosts import check_url
from connector.http import session as http_session
from connector.objects import PEOPLE
from connector.permits import Permits, seed
from connector.runtime import Runtime
from connector.schedules import Schedule
from connector.transform import field_types

LONGEST_NAME = 100  # characters
RENEWAL_LOCK = 0x0C_DA  # first half of the advisory lock that one renewal of a source holds; the second is its id
Describes = dict[str, dict[str, Any]]


def find(database: Database, name: str) -> Source:
    """Return a source by its name or id; raises BadInput when there is none."""
    return _found(database, name, select(Source))


def hold(database: Database, name: str, *, against_runs: bool = False) -> Source:
    """Return a source as it stands once nobody else is changing it, locked until the transaction ends.

    What it is changed to must be worked out from what is returned. With `against_runs` no run of it begins meanwhile.
    Raises BadInput when there is none.
    """
    locking = select(Source).with_for_update(key_share=not against_runs).execution_options(populate_existing=True)
    return _found(database, name, locking)


def _found(database: Database, name: str, wanted: SelectOfScalar[Source]) -> Source:
    found = database.exec(wanted.where(Source.name == name)).first()
    if found is None and name.isdecimal() and len(name) <= len(str(LARGEST_ID)) and int(name) <= LARGEST_ID:
        found = database.exec(wanted.where(Source.id == int(name))).first()
    if found is None:
        raise BadInput(f"There is no data source '{name}': `connector source list` shows those there are.")
    return found


def connect(
    runtime: Runtime, name: str, login_url: str, credentials: Credentials
) -> tuple[Source, list[checks.Finding]]:
    """Sign in to an org, check what the login can do, and keep it as a new source with default mappings.

    Raises:
        BadInput: the name or a URL cannot be used.
        Refused: the name is taken, or the org is connected already.
        NeedsAttention: the login is refused or cannot read people.
    """
    login_url = check_url(login_url, runtime.settings.allowed_hosts)
    check_name(runtime, name)
    kept: list[Credentials] = [credentials]
    login = _sign_in(runtime, credentials, login_url, kept.append)
    _refuse_connected_org(runtime, login.org_id)
    client = OrgClient(http_session(runtime.settings.ca_bundle), lambda _dead: _live(login))
    described = {sobject: found for sobject in PEOPLE if (found := _describe(client, sobject)) is not None}
    findings = checks.check(client, described)
    try:
        source = _keep_new(runtime, name, login_url, kept[-1], login=login, described=described)
    except IntegrityError:
        raise Refused(f"The org {login.org_id} or the name '{name}' was connected just now by someone else.") from None
    with transaction(runtime.database_url) as database:
        seed(database, source.key, client.observed.used, client.observed.limit)
    return source, findings


def _keep_new(
    runtime: Runtime, name: str, login_url: str, credentials: Credentials, *, login: Login, described: Describes
) -> Source:
    with transaction(runtime.database_url) as database:
        source = Source(
            name=name,
            org_id=login.org_id,
            login_url=login_url,
            instance_url=login.instance_url,
            credentials=b"",
            created_by=login.username,
            created_at=login.issued_at,
            next_poll_at=datetime.now(UTC),
            mapping={one: transform.default_mapping(PEOPLE[one], field_types(it)) for one, it in described.items()},
            permissions={"email": {name: transform.default_consent(sobject) for name, sobject in PEOPLE.items()}},
        )
        database.add(source)
        database.flush()
        _seal(runtime, source, credentials, login)
        fields.register(database, _person_fields(source, described))
    return source


def _describe(client: OrgClient, sobject: str) -> dict[str, Any] | None:
    try:
        return client.describe(sobject)
    except ObjectUnavailable:
        return None


def _person_fields(source: Source, described: Describes) -> list[fields.Field]:
    wanted: dict[str, fields.Field] = {}
    for sobject, mapping in source.mapping.items():
        types = field_types(described[sobject])
        for name, target in mapping.items():
            field = transform.person_field(name, target, types)
            wanted.setdefault(field.name, field)
    return sorted(wanted.values())


def check_name(runtime: Runtime, name: str) -> None:
    """Raise BadInput when a text cannot name a source, Refused when it names one already."""
    if not name.strip() or name.isdigit() or any(not letter.isprintable() for letter in name):
        raise BadInput("A data source needs a name of printable characters that is not only digits.")
    if len(name) > LONGEST_NAME:
        raise BadInput(f"A data source's name has at most {LONGEST_NAME} characters: choose a shorter one.")
    with transaction(runtime.database_url) as database:
        if database.exec(select(Source).where(Source.name == name)).first():
            raise Refused(f"A data source named '{name}' exists: choose another name.")


def _refuse_connected_org(runtime: Runtime, org_id: str) -> None:
    with transaction(runtime.database_url) as database:
        known = database.exec(select(Source).where(Source.org_id == org_id)).first()
        if known:
            raise Refused(f"The org {org_id} is connected already as '{known.name}': delete that data source first.")


def _sign_in(
    runtime: Runtime, credentials: Credentials, login_url: str, keep: Callable[[RefreshToken], object]
) -> Login:
    return sign_in(
        credentials,
        login_url,
        http_session(runtime.settings.ca_bundle),
        now=datetime.now(UTC),
        allowed_hosts=runtime.settings.allowed_hosts,
        keep=keep,
    )


def _live(login: Login) -> Session:
    return Session(login.access_token, login.instance_url)


def _context(source: Source, what: str) -> str:
    return f"source/{source.id}/{source.org_id}/{what}"


def _seal(runtime: Runtime, source: Source, credentials: Credentials | None, login: Login | None) -> None:
    """Put what is given into the row, encrypted and bound to it."""
    if credentials is not None:
        source.credentials = runtime.vault.seal(dump_credentials(credentials), _context(source, "credentials"))
    if login is not None:
        token = {"access_token": login.access_token.get_secret_value(), "instance_url": login.instance_url}
        source.session = runtime.vault.seal(json.dumps(token).encode(), _context(source, "session"))
        source.instance_url = login.instance_url


def replace_credentials(runtime: Runtime, source: Source, credentials: Credentials) -> Source:
    """Try new credentials and keep them if they lead to the source's own org; what needed attention is mended by that.

    Raises:
        NeedsAttention: the login is refused.
        Refused: it leads to another org.
    """
    kept: list[Credentials] = [credentials]
    login = _sign_in(runtime, credentials, source.login_url, kept.append)
    if login.org_id != source.org_id:
        raise Refused(
            f"This login leads to the org {login.org_id}, but '{source.name}' is {source.org_id}: switching "
            "organizations is not possible; connect the other org as a data source of its own."
        )
    with transaction(runtime.database_url) as database:
        stored = database.get_one(Source, source.key)
        _seal(runtime, stored, kept[-1], login)
        stored.next_poll_at = datetime.now(UTC)
        forget_attention(database, source.key)
    return stored


def schedule(runtime: Runtime, source: Source) -> Schedule:
    """Return how often a source is polled and swept."""
    return Schedule.of(runtime.settings, source.org_id, source.poll_interval, source.sweep_hour)


def open_org(runtime: Runtime, source_id: int, kind: str = "poll") -> OrgClient:
    """Return a client for the source's org; all workers share its session, and one of them renews it when it dies.

    They share the org's API calls as well: the `kind` of run decides how early it has to wait.
    """
    permits = Permits(runtime.database_url, source_id, runtime.settings.api_share, kind)
    http = http_session(runtime.settings.ca_bundle)
    return OrgClient(http, lambda dead: _renewed(runtime, source_id, dead), permits)


def _renewed(runtime: Runtime, source_id: int, dead: Session | None) -> Session:
    """Return a session other than the dead one, signing in if nobody else has: one renewal of a source at a time.

    A rotated refresh token is committed before it is used, since showing the old one again would revoke both.
    """
    with transaction(runtime.database_url) as guard:
        driver(guard).execute("SELECT pg_advisory_xact_lock(%s, %s)", (RENEWAL_LOCK, source_id))
        source = guard.get_one(Source, source_id)
        stored = _stored_session(runtime, source)
        if stored is not None and (dead is None or stored.access_token != dead.access_token):
            return stored
        credentials = parse_credentials(runtime.vault.open(source.credentials, _context(source, "credentials")))
        if not runtime.vault.is_current(source.credentials):
            _keep(runtime, source_id, credentials, None)
        login = _sign_in(
            runtime, credentials, source.login_url, lambda rotated: _keep(runtime, source_id, rotated, None)
        )
        if login.org_id != source.org_id:
            raise NeedsAttention(
                "other_org",
                f"The login of '{source.name}' now leads to the org {login.org_id} instead of {source.org_id}.",
                "Switching organizations is not possible: reauthenticate with a user of the first org.",
            )
        _keep(runtime, source_id, None, login)
        return _live(login)


def _keep(runtime: Runtime, source_id: int, credentials: Credentials | None, login: Login | None) -> None:
    """Commit beside the transaction that holds the renewal's lock; all who wait for it may have emptied the pool."""
    with transaction(runtime.database_url, spare=True) as database:
        _seal(runtime, database.get_one(Source, source_id), credentials, login)


def _stored_session(runtime: Runtime, source: Source) -> Session | None:
    if source.session is None:
        return None
    token = json.loads(runtime.vault.open(source.session, _context(source, "session")))
    return Session(SecretStr(token["access_token"]), token["instance_url"])


def need_attention(runtime: Runtime, source_id: int, kind: str, problem: NeedsAttention) -> None:
    """Note what only a person can mend, and which kind of run met it."""
    with transaction(runtime.database_url) as database:
        database.get_one(Source, source_id).attention = {
            "code": problem.code,
            "message": problem.message,
            "remedy": problem.remedy,
            "blocks": problem.blocks,
            "kind": kind,
        }
        notices.note(database, source_id)


def note_mended(runtime: Runtime, source_id: int, kind: str) -> None:
    """Note that a run went well, which mends what needed attention, if such a run would have met it again."""
    with transaction(runtime.database_url) as database:
        attention = database.get_one(Source, source_id).attention
        if attention and _would_meet(kind, attention):
            forget_attention(database, source_id)


def forget_attention(database: Database, source_id: int) -> None:
    """Note that what needed attention is mended."""
    database.get_one(Source, source_id).attention = None
    notices.note(database, source_id)


def _would_meet(kind: str, attention: Mapping[str, Any]) -> bool:
    """Polls meet all there is but the brake of a sweep; any run meets what blocks all work."""
    polls = kind in ("poll", "resync") and attention["code"] != SWEEP_BRAKE
    return polls or bool(attention["blocks"]) or attention["kind"] == kind
