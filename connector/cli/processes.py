"""Commands that keep running: the processes of a deployment, and the simulator."""

from pathlib import Path
from typing import Annotated

import typer

from connector import accounts, audit
from connector.cli.app import Json, app
from connector.cli.output import console, hints, is_interactive, print_json, print_lines
from connector.cli.users import ask_password
from connector.errors import BadInput
from connector.hosts import is_loopback
from connector.lanes import LANES
from connector.runtime import Runtime

RUN = "Run"


@app.command(rich_help_panel=RUN)
def worker(
    concurrency: Annotated[int, typer.Option(min=1, help="How many runs to work on at once.")] = 2,
    lanes: Annotated[
        str, typer.Option(help="Comma-separated lanes to work on: polls, initial, backfills, removals.")
    ] = ",".join(LANES),
    json: Json = False,  # noqa: ARG001 - every command takes it; logs are JSON by CONNECTOR_LOG_FORMAT
) -> None:
    """Work for the fleet until told to stop."""
    from connector.worker import run_worker  # noqa: PLC0415 - Celery is slow to import

    wanted = [name.strip() for name in lanes.split(",") if name.strip()]
    if unknown := [name for name in wanted if name not in LANES]:
        raise BadInput(f"There is no lane '{unknown[0]}': choose among {', '.join(LANES)}.")
    run_worker(concurrency, wanted or LANES)


@app.command(rich_help_panel=RUN)
def beat(json: Json = False) -> None:  # noqa: ARG001
    """Tick until told to stop; any number may run."""
    from connector.worker import run_beat  # noqa: PLC0415 - Celery is slow to import

    run_beat()


@app.command(rich_help_panel=RUN)
def dashboard(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8000,
    host: Annotated[str, typer.Option(help="Address to listen on; others need CONNECTOR_DASHBOARD_URL.")] = "127.0.0.1",
    json: Json = False,
) -> None:
    """Serve the dashboard until told to stop; makes the first admin when there is none."""
    import uvicorn  # noqa: PLC0415 - only this command needs a web server

    from connector.dashboard import create_app  # noqa: PLC0415

    runtime = Runtime()
    outside = runtime.settings.dashboard_url
    if not is_loopback(host) and outside is None:
        raise BadInput(
            "Set CONNECTOR_DASHBOARD_URL to the https address that leads here, and listen beyond loopback then."
        )
    _see_to_an_admin(runtime)
    url = f"{outside or f'http://localhost:{port}'}/"
    print_json({"url": url}) if json else console.print(f"The dashboard is at {url} (Ctrl-C ends it).")
    proxies = ",".join(runtime.settings.dashboard_proxies)
    uvicorn.run(
        create_app(runtime), host=host, port=port, log_level="warning", server_header=False, forwarded_allow_ips=proxies
    )


@app.command(rich_help_panel=RUN)
def metrics(
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Serve them here until told to stop; otherwise print them once."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    json: Json = False,
) -> None:
    """Tell the numbers of the whole installation in the text form of Prometheus."""
    from connector import metrics as measured  # noqa: PLC0415 - only this command needs Prometheus

    url = Runtime().database_url
    if port is None:
        print_lines(measured.samples(url)) if json else print(measured.exposition(url), end="")
        return
    address, thread = measured.serve(url, host, port)
    print_json({"url": address}) if json else console.print(f"The metrics are at {address} (Ctrl-C ends it).")
    thread.join()


def _see_to_an_admin(runtime: Runtime) -> None:
    """Ask for a first admin when nobody may sign in yet, or say how to make one where nobody can be asked."""
    if runtime.settings.oidc_issuer or accounts.any_account(runtime.database_url):
        return
    if not is_interactive():
        hints.print("! Nobody may sign in yet: run `connector user add NAME --role admin`.", markup=False)
        return
    console.print("Nobody may sign in yet: make the first admin.")
    name = str(typer.prompt("Name", default=audit.shell().name))
    password = ask_password()
    with audit.noted(runtime.database_url, audit.shell(), "user add", name, role=accounts.ADMIN):
        accounts.add(runtime.database_url, name, accounts.ADMIN, password)


@app.command("simulator", rich_help_panel=RUN)
def simulator_(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the first org, the others follow; 0 takes free ones.")
    ] = 8443,
    orgs: Annotated[str, typer.Option(help="Comma-separated short names.")] = "acme,globex",
    leads: Annotated[int, typer.Option(help="Leads in each org.")] = 1000,
    contacts: Annotated[int, typer.Option(help="Contacts in each org.")] = 1000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same orgs.")] = 7,
    folder: Annotated[Path, typer.Option("--dir", help="Folder for the CA and the credentials files.")] = Path(
        "simulator"
    ),
    flow: Annotated[str, typer.Option(help="Flow of the credentials files.")] = "client_credentials",
    json: Json = False,  # noqa: ARG001 - it prints JSON lines anyway
) -> None:
    """Serve simulated Salesforce orgs over TLS, for trying things by hand."""
    options = {
        "port": port,
        "orgs": orgs,
        "leads": leads,
        "contacts": contacts,
        "seed": seed,
        "dir": folder,
        "flow": flow,
    }
    from connector.simulator.__main__ import run as run_simulator  # noqa: PLC0415 - only this command needs it

    run_simulator([part for name, value in options.items() for part in (f"--{name}", str(value))])
