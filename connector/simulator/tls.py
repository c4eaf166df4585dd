"""The simulator's own certificate authority and server certificate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import trustme

HOSTS = ("localhost", "127.0.0.1", "::1", "login.salesforce.com", "test.salesforce.com", "*.my.salesforce.com")


@dataclass(frozen=True)
class Certificates:
    """Files of one authority: clients trust `ca_file`, the server shows `server_file`."""

    ca_file: Path
    server_file: Path


def certificates(folder: Path) -> Certificates:
    """Make the authority and the server certificate in `folder`, or reuse those which a former run left there.

    Reuse keeps the clients of a restarted simulator connected: they stored the path of the authority, not its key.
    """
    found = Certificates(ca_file=folder / "ca.pem", server_file=folder / "server.pem")
    if not (found.ca_file.exists() and found.server_file.exists()):
        folder.mkdir(parents=True, exist_ok=True)
        authority = trustme.CA(organization_name="Simulated Salesforce")
        server = authority.issue_cert(*HOSTS)
        found.server_file.touch(mode=0o600)
        server.private_key_and_cert_chain_pem.write_to_path(found.server_file)
        authority.cert_pem.write_to_path(found.ca_file)
    return found
