"""The installation and its orgs, as the connector's tests have them, and the command line on top."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from connector import cli
from connector.cli.commands import app
from connector.errors import ConnectorError
from connector.simulator.schema import make_field
from tests.connector.conftest import Site, _no_pauses, ca_dir, make_site, people_rows, site

__all__ = ["_no_pauses", "ca_dir", "make_site", "site"]
Command = Callable[..., str]


@pytest.fixture
def peopled(site: Site) -> Site:
    """Acme with 30 Leads and 30 Contacts of three kinds each, connected and read once."""
    org = site.orgs["acme"]
    for sobject in ("Lead", "Contact"):
        org.add_field(sobject, make_field("Tier__c", "string", length=40))
    account = org.insert("Account", {"Name": "Lima Lda", "Industry": "Banking"})
    for number, row in enumerate(people_rows(30)):
        tier = {"Tier__c": ("gold", "silver", None)[number % 3]}
        org.insert("Lead", row | tier)
        contact = {key: value for key, value in row.items() if key != "Company"}
        org.insert("Contact", contact | tier | {"Email": f"c{number}@example.org", "AccountId": account})
    site.connect()
    site.sync()
    return site


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """Run a command of the command line on a site: `document` becomes its file; returns what it prints."""

    def run(site: Site, *words: str, document: Any = ..., fails: int = 0) -> str:
        for module in (cli.choosing, cli.looking, cli.syncing):
            monkeypatch.setattr(module, "Runtime", lambda: site.runtime)
        if document is not ...:
            file = tmp_path / "document.json"
            file.write_text(json.dumps(document), "utf-8")
            words = (*words, "--file", str(file))
        capsys.readouterr()
        if fails:
            with pytest.raises(ConnectorError) as refused:
                app(list(words), standalone_mode=False)
            assert refused.value.exit_code == fails
            return str(refused.value)
        app(list(words), standalone_mode=False)
        shown = capsys.readouterr()
        return shown.out + shown.err

    return run
