"""`python -m connector.simulator`: serve simulated orgs until interrupted."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from .org import Org
from .population import populate
from .server import SimulatorServer

FLOWS = ("client_credentials", "refresh_token", "jwt", "password", "access_token")


def run(arguments: Sequence[str] | None = None) -> None:
    """Serve until interrupted; when ready, print one JSON line per org.

    Its keys are `org`, `org_id`, `url`, `ca_file` and `credentials` (the path of a file of mode 0600). Raises
    SystemExit with a sentence if a port or the folder cannot be used.
    """
    options = _parser().parse_args(arguments)
    orgs = [_org(key, number, options) for number, key in enumerate(options.orgs.split(","))]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with SimulatorServer(orgs, port=options.port, ca_dir=options.dir) as server:
            for org in orgs:
                sys.stdout.write(json.dumps(_introduce(server, org, options)) + "\n")
            sys.stdout.flush()
            threading.Event().wait()
    except KeyboardInterrupt:
        return
    except OSError as error:
        raise SystemExit(f"The simulator cannot serve: {error}") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="connector simulator", description="Serve simulated Salesforce orgs over TLS."
    )
    parser.add_argument(
        "--port", type=int, default=0, help="port of the first org, the others follow; 0 takes free ones"
    )
    parser.add_argument("--orgs", default="acme", help="comma-separated short names")
    parser.add_argument("--leads", type=int, default=0)
    parser.add_argument("--contacts", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--dir", type=Path, required=True, help="folder for the certificate authority and credentials files"
    )
    parser.add_argument("--flow", choices=FLOWS, default="client_credentials", help="flow of the credentials files")
    return parser


def _org(key: str, number: int, options: argparse.Namespace) -> Org:
    org = Org(key)
    if options.leads or options.contacts:
        rows = {"leads": options.leads, "contacts": options.contacts}
        populate(org, **rows, seed=options.seed + number, shared_people=options.seed)
    return org


def _introduce(server: SimulatorServer, org: Org, options: argparse.Namespace) -> dict[str, str]:
    file = options.dir / f"{org.key}.credentials.json"
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        json.dump(server.credentials(org, options.flow), stream)
    return {
        "org": org.key,
        "org_id": org.org_id,
        "url": server.url(org),
        "ca_file": str(server.ca_file),
        "credentials": str(file),
    }


if __name__ == "__main__":
    run()
