"""The installation and its orgs, and the whole command line on top."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from connector import cli
from connector.cli.commands import app
from connector.errors import ConnectorError
from tests.connector.conftest import Site, _no_pauses, ca_dir, make_site, site

__all__ = ["_no_pauses", "ca_dir", "make_site", "site"]
Command = Callable[..., str]
ROOMS = (cli.choosing, cli.living, cli.looking, cli.notifying, cli.syncing, cli.trusting)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """Run a command on a site in this process; `file` becomes the file of an option; returns what it prints or says."""

    def run(site: Site, *words: str, fails: int = 0, **files: Any) -> str:
        for module in ROOMS:
            monkeypatch.setattr(module, "Runtime", lambda: site.runtime)
        for option, text in files.items():
            path = tmp_path / f"{option}.json"
            path.write_text(text, "utf-8")
            words = (*words, f"--{option}", str(path))
        capsys.readouterr()
        if fails:
            with pytest.raises(ConnectorError) as refused:
                app(list(words), standalone_mode=False)
            assert refused.value.exit_code == fails, refused.value
            return str(refused.value)
        app(list(words), standalone_mode=False)
        shown = capsys.readouterr()
        return shown.out + shown.err

    return run
