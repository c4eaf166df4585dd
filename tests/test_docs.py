"""The documents tell the truth: every command, setting, room and dependency is in them, and what they name exists."""

import re
import shlex
import tomllib
from collections.abc import Iterable, Iterator
from itertools import chain, dropwhile, takewhile
from pathlib import Path
from typing import Any

import pytest
import typer.main
from sqlmodel import SQLModel

from connector import metrics
from connector.cli.commands import app
from connector.objects import OBJECTS, PEOPLE
from connector.settings import Settings

ROOT = Path(__file__).parents[1]
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def prose(text: str) -> str:
    """A document without its code blocks."""
    return FENCE.sub("", text)


def sections(text: str, level: int) -> dict[str, str]:
    """Heading → what stands under it, for the headings of one level; what comes before the first is left out."""
    parts = re.split(rf"^{'#' * level} (.+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def names(text: str) -> list[str]:
    """What the rows of a document's tables name in code type in their first column."""
    return re.findall(r"^\| `([^`]+)` \|", text, flags=re.MULTILINE)


def odd(documented: Iterable[str], real: Iterable[str]) -> str:
    """What is only documented, or only real."""
    return ", ".join(sorted(set(documented) ^ set(real)))


def leaves(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every command below a group with its full name; hidden ones are nobody's business."""
    for name, child in getattr(command, "commands", {}).items():
        if not child.hidden:
            yield from leaves(child, f"{path} {name}")
    if not hasattr(command, "commands"):
        yield path, command


COMMANDS = dict(leaves(typer.main.get_command(app), "connector"))


def parameters(command: Any) -> set[str]:
    """The spellings of a command's options and the names of its arguments."""
    options = (param.opts for param in command.params if param.param_type_name == "option")
    arguments = (param.metavar or param.name.upper() for param in command.params if param.param_type_name == "argument")
    return {*chain.from_iterable(options), *arguments}


def test_every_command_is_documented_and_no_other() -> None:
    headings = [heading.strip("`") for heading in sections(read("docs/commands.md"), 3)]
    assert odd(headings, COMMANDS) == ""


@pytest.mark.parametrize("path", COMMANDS)
def test_every_option_and_argument_is_documented_and_no_other(path: str) -> None:
    documented = names(sections(read("docs/commands.md"), 3)[f"`{path}`"])
    assert odd(documented, parameters(COMMANDS[path]) - {"--json"}) == ""


def test_the_readme_lists_every_command() -> None:
    listed = names(sections(read("README.md"), 2)["Commands"])
    assert odd(listed, COMMANDS) == ""


def test_every_setting_is_documented_and_no_other() -> None:
    documented = [name for name in names(read("docs/settings.md")) if name.startswith("CONNECTOR_")]
    assert odd(documented, (f"CONNECTOR_{name.upper()}" for name in Settings.model_fields)) == ""


@pytest.mark.parametrize("name", Settings.model_fields)
def test_a_documented_default_is_the_real_one(name: str) -> None:
    default = Settings.model_fields[name].default
    row = next(line for line in read("docs/settings.md").splitlines() if f"| `CONNECTOR_{name.upper()}` |" in line)
    shown = re.findall(r"`([^`]*)`", row.split("|")[2])
    assert shown == ([] if default is None or default == [] else str(default).split(","))


def test_every_metric_is_documented_with_its_type_and_labels_and_no_other() -> None:
    told = next(iter(sections(read("docs/metrics.md"), 1).values())).partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|([`\w ]*)\|", told, flags=re.MULTILINE)
    documented = {name: (kind, tuple(re.findall(r"\w+", labels))) for name, kind, labels in rows}
    assert documented == {metrics.UP: ("gauge", ())} | {one.name: (one.type, one.labels) for one in metrics.MEASURES}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_no_link_is_broken(document: Path) -> None:
    local = [link for link in LINK.findall(prose(document.read_text("utf-8"))) if not link.startswith("https://")]
    assert [link for link in local if not leads_somewhere(document, link)] == []


def leads_somewhere(document: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (document.parent / path).resolve() if path else document
    return target.exists() and (not anchor or anchor in anchors(target))


def anchors(document: Path) -> set[str]:
    """The anchors that a forge gives to a document's headings."""
    headings = re.findall(r"^#+ (.+)$", prose(document.read_text("utf-8")), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_document_is_linked_from_the_readme_or_the_architecture() -> None:
    linked = {
        (document.parent / link.partition("#")[0]).resolve()
        for document in (ROOT / "README.md", ROOT / "docs" / "architecture.md")
        for link in LINK.findall(document.read_text("utf-8"))
    }
    assert [document.name for document in DOCUMENTS[1:] if document not in linked] == []


def test_every_dependency_has_a_line_and_no_other() -> None:
    declared = chain(
        PROJECT["project"]["dependencies"],
        *PROJECT["project"]["optional-dependencies"].values(),
        *PROJECT["dependency-groups"].values(),
    )
    wanted = {re.split(r"[\[<>=;~! ]", requirement)[0] for requirement in declared}
    assert odd(names(read("docs/dependencies.md")), wanted) == ""


def test_every_room_is_on_the_plan_and_no_other() -> None:
    rooms = {
        f"{package}.{path.stem}"
        for package in ("connector", "cdp")
        for path in (ROOT / package).iterdir()
        if (path.suffix == ".py" and not path.stem.startswith("__")) or (path / "__init__.py").exists()
    }
    assert odd(names(sections(read("docs/architecture.md"), 2)["Rooms"]), rooms) == ""


def test_every_table_is_on_the_plan_and_no_other() -> None:
    rows = re.findall(r"^\| (`[^|]+`) \|", sections(read("docs/architecture.md"), 2)["Tables"], flags=re.MULTILINE)
    documented = chain.from_iterable(re.findall(r"`(\w+)`", row) for row in rows)
    assert odd(documented, SQLModel.metadata.tables) == ""


def test_the_fields_that_are_kept_of_each_object_are_documented() -> None:
    rows = sections(read("docs/activities.md"), 2)["Fields that were hidden"].splitlines()
    documented = [row for row in rows if row.startswith("|")][2:]
    kept = [
        f"| {name} | {', '.join(f'`{f}`' for f in one.kept)} |" for name, one in OBJECTS.items() if name not in PEOPLE
    ]
    assert odd(documented, kept) == ""


def test_the_decisions_are_numbered_without_gaps() -> None:
    assert [path.name[:5] for path in DECISIONS] == [f"{number:04}-" for number in range(1, len(DECISIONS) + 1)]


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.name)
def test_a_decision_has_its_parts(path: Path) -> None:
    text = path.read_text("utf-8")
    parts = sections(text, 2)
    assert re.match(rf"# {int(path.name[:4])}\. \S", text)
    assert list(parts) == ["Context", "Decision", "Consequences"]
    assert all(part.strip() for part in parts.values())
    decision = parts["Decision"].strip()
    assert decision.endswith("."), "a sentence"
    assert not re.search(r"\.\s", decision), "one sentence"
    assert len(text.splitlines()) <= 60, "one page"


def shell_lines() -> Iterator[str]:
    """The lines of the documents' shell examples, continued ones joined."""
    for document in DOCUMENTS:
        for language, block in FENCE.findall(document.read_text("utf-8")):
            if language == "sh":
                yield from block.replace("\\\n", " ").splitlines()


def invocation(line: str) -> list[str]:
    """The words of the line's first command, without the variables set before it."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words = takewhile(lambda word: not set(word) <= set("();<>|&"), lexer)
    return list(dropwhile(lambda word: re.match(r"\w+=", word), words))


def examples(program: str) -> list[str]:
    return sorted({shlex.join(words) for words in map(invocation, shell_lines()) if words[:1] == [program]})


@pytest.mark.parametrize("example", examples("connector"))
def test_an_example_is_a_command_that_parses(example: str) -> None:
    words = shlex.split(example)
    path = max((path for path in COMMANDS if f"{' '.join(words)} ".startswith(f"{path} ")), key=len)
    COMMANDS[path].make_context(path, words[len(path.split()) :])


@pytest.mark.parametrize("example", examples("make"))
def test_an_example_of_make_has_its_target(example: str) -> None:
    assert re.search(rf"^{example.split()[1]}:", read("Makefile"), flags=re.MULTILINE)


def test_the_changelog_keeps_its_form() -> None:
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    releases = sections(read("CHANGELOG.md"), 2)
    assert next(iter(releases)) == "[Unreleased]"
    assert all(set(sections(text, 3)) <= kinds for text in releases.values())
