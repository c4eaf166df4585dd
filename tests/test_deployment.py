"""What can be known of docker/ without an engine: the files are sound, and what they start exists."""

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from connector.cli.commands import app
from connector.settings import Settings

ROOT = Path(__file__).parents[1]
DOCKER = ROOT / "docker"
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text("utf-8"))
OURS = {name: service for name, service in COMPOSE["services"].items() if service["image"] == "connector"}


def test_the_compose_file_follows_its_schema() -> None:
    tool = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*tool, DOCKER / "compose.yaml"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_dockerfile_passes_its_lint() -> None:
    tool = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([tool, DOCKER / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.stdout == ""
    assert done.returncode == 0


@pytest.mark.parametrize("name", OURS)
def test_what_a_service_starts_is_a_command_with_such_options(name: str) -> None:
    group: Any = typer.main.get_command(app)
    context = group.make_context("connector", list(OURS[name]["command"]))
    word, command, rest = group.resolve_command(context, [*context._protected_args, *context.args])
    assert command is not None
    command.make_context(word, rest, parent=context)  # raises when an option does not exist


@pytest.mark.parametrize("name", OURS)
def test_a_service_sets_only_settings_that_exist(name: str) -> None:
    known = {f"CONNECTOR_{field.upper()}" for field in Settings.model_fields}
    assert set(OURS[name]["environment"]) <= known


def test_every_process_of_ours_runs_without_rights_and_waits_for_the_schema() -> None:
    for name, service in OURS.items():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert name == "migrate" or service["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    last = (DOCKER / "Dockerfile").read_text("utf-8").rpartition("FROM ")[2]
    assert "\nUSER 10001" in last


def test_every_service_of_ours_that_stays_says_how_it_is() -> None:
    assert [name for name, service in OURS.items() if name != "migrate" and "healthcheck" not in service] == []


def test_the_image_installs_what_the_project_needs() -> None:
    """A dependency that was added without `make lock` would be missing in the image only."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    locked = {
        canonicalize_name(line.partition("==")[0].partition("[")[0])
        for line in (DOCKER / "requirements.lock").read_text("utf-8").splitlines()
        if "==" in line and not line.startswith((" ", "#"))
    }
    assert {canonicalize_name(Requirement(line).name) for line in project["dependencies"]} <= locked
