"""Commands that set things up: the schema, and the data sources."""

import webbrowser
from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr

from cdp import queries
from cdp.db import transaction
from connector import reports, sources
from connector.auth import Credentials, load_credentials
from connector.checks import Finding
from connector.cli.app import Changing, Json, SourceName, app, source
from connector.cli.output import console, hints, print_json, print_lines, show, show_schedule, table
from connector.errors import BadInput
from connector.hosts import check_url
from connector.http import session as http_session
from connector.runtime import Runtime
from connector.weblogin import browser_login

SET_UP = "Set up"


@app.command(rich_help_panel=SET_UP)
def migrate(json: Json = False) -> None:
    """Create or upgrade the schema of the database."""
    from connector.schema import migrate as migrate_schema  # noqa: PLC0415 - Alembic is slow to import

    before, after = migrate_schema(Runtime().database_url)
    if json:
        print_json({"before": before, "after": after})
    elif before == after:
        console.print(f"The schema is up to date (revision {after}).")
    else:
        console.print(f"The schema is now at revision {after} (before: {before or 'none'}).")


@source.command(cls=Changing)
def connect(
    name: Annotated[str, typer.Argument(help="What to call the data source.")],
    login_url: Annotated[str, typer.Option(help="Login host, such as https://acme.my.salesforce.com.")],
    credentials: Annotated[
        Path | None, typer.Option(help="JSON file with the credentials of a flow; - for standard input.")
    ] = None,
    web: Annotated[bool, typer.Option("--web", help="Log in with the browser instead.")] = False,
    client_id: Annotated[str | None, typer.Option(help="With --web: the app's consumer key.")] = None,
    client_secret_file: Annotated[
        Path | None, typer.Option(help="With --web: file with the app's secret, if it has one.")
    ] = None,
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="With --web: port of http://localhost:PORT/callback.")
    ] = 8765,
    json: Json = False,
) -> None:
    """Connect a Salesforce org as a new data source."""
    runtime = Runtime()
    app_of = (login_url, client_id, client_secret_file, port)
    given = _from_browser(runtime, *app_of) if web else _from_file(credentials)
    made, findings = sources.connect(runtime, name, login_url, given)
    _show_findings(findings, json=json)
    answer = {
        "source_id": made.id,
        "name": made.name,
        "org_id": made.org_id,
        "instance_url": made.instance_url,
        "created_by": made.created_by,
    }
    if json:
        print_json(answer)
    else:
        console.print(f"Connected '{made.name}': org {made.org_id} as {made.created_by}.", markup=False)
        console.print(f"Next: connector sync {made.name}", markup=False)


def _from_file(path: Path | None) -> Credentials:
    if path is None:
        raise BadInput("Give the credentials with --credentials FILE (- for standard input), or log in with --web.")
    return load_credentials(None, stdin=True) if str(path) == "-" else load_credentials(path, stdin=False)


def _from_browser(
    runtime: Runtime, login_url: str, client_id: str | None, secret_file: Path | None, port: int
) -> Credentials:
    if client_id is None:
        raise BadInput("The browser login needs the app's consumer key: give it with --client-id.")
    secret = SecretStr(_secret(secret_file)) if secret_file else None

    def open_browser(url: str) -> None:
        hints.print("Log in with the browser window that opens, or open this address:", url, sep="\n", soft_wrap=True)
        webbrowser.open(url)

    http = http_session(runtime.settings.ca_bundle)
    origin = check_url(login_url, runtime.settings.allowed_hosts)
    return browser_login(origin, client_id, secret, http, open_browser=open_browser, port=port)


def _secret(path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise BadInput(f"The file {path} with the app's secret cannot be read.") from None


def _show_findings(findings: list[Finding], *, json: bool) -> None:
    for finding in findings:
        if finding.status != "ok" or not json:
            mark = {"ok": "✓", "warning": "!", "failing": "✗"}[finding.status]
            hints.print(f"{mark} {finding.finding} {finding.remedy}".rstrip(), markup=False, soft_wrap=True)


@source.command("list")
def list_(json: Json = False) -> None:
    """List the data sources."""
    found = _sources()
    if json:
        print_lines(found)
    elif not found:
        console.print("There are no data sources yet: connect one with `connector source connect`.", markup=False)
    else:
        table(
            ("id", "name", "org", "state", "connected by", "API calls"),
            ((s["source_id"], s["name"], s["org_id"], s["state"], s["created_by"], _calls(s)) for s in found),
        )


@source.command("show")
def show_(name: SourceName, json: Json = False) -> None:
    """Show one data source."""
    with transaction(Runtime().database_url) as session:
        wanted = sources.find(session, name).id
    found = next(one for one in _sources() if one["source_id"] == wanted)
    if json:
        print_json(found)
    else:
        found["schedule"] = show_schedule(found["schedule"])
        table(("", ""), ((key.replace("_", " "), show(value)) for key, value in found.items()))


def _sources() -> list[queries.Row]:
    runtime = Runtime()
    with transaction(runtime.database_url) as session:
        found = queries.sources(session)
    return [{**row, "schedule": reports.schedule(row, runtime.settings)} for row in found]


def _calls(row: queries.Row) -> str:
    return "–" if row["api_limit"] is None else f"{row['api_used']:,} of {row['api_limit']:,}"
