"""Commands for those who may use the dashboard, and for the log of what they changed."""

import sys
from typing import Annotated

import typer

from cdp import queries
from cdp.db import transaction
from connector import accounts
from connector.cli.app import Changing, Json, app
from connector.cli.output import console, print_json, print_lines, table
from connector.runtime import Runtime

ACCESS = "Access"
user = typer.Typer(help="Who may use the dashboard and the JSON API.", no_args_is_help=True)
app.add_typer(user, name="user", rich_help_panel=ACCESS)
UserName = Annotated[str, typer.Argument(help="Name of the account.", metavar="NAME")]


def ask_password() -> str:
    """Return a password: typed twice in a terminal, else the first line of standard input."""
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    return sys.stdin.readline().rstrip("\n")


@user.command("add", cls=Changing)
def add(
    name: UserName,
    role: Annotated[str, typer.Option(help="viewer: may look; admin: may change things too.")] = accounts.VIEWER,
    json: Json = False,
) -> None:
    """Make an account; the password is asked for, or read from standard input."""
    url = Runtime().database_url
    password = ask_password()
    made = accounts.add(url, name, role, password)
    _tell({"name": made.name, "role": made.role}, f"{made.name} may sign in as {made.role}.", json=json)


@user.command("list")
def list_(json: Json = False) -> None:
    """List the accounts."""
    with transaction(Runtime().database_url) as session:
        found = queries.accounts(session)
    if json:
        print_lines(found)
    elif not found:
        console.print("There is no account yet: make one with `connector user add NAME --role admin`.", markup=False)
    else:
        table(("name", "role", "signs in by", "since", "sessions", "tokens"), (list(one.values()) for one in found))


@user.command("password", cls=Changing)
def password(name: UserName, json: Json = False) -> None:
    """Change a password, and sign the account out everywhere."""
    url = Runtime().database_url
    given = ask_password()
    accounts.set_password(url, name, given)
    _tell({"name": name}, f"The password of {name} is changed, and all its sessions have ended.", json=json)


@user.command("remove", cls=Changing)
def remove(name: UserName, json: Json = False) -> None:
    """Remove an account with its sessions and tokens."""
    url = Runtime().database_url
    accounts.remove(url, name)
    _tell({"name": name, "removed": True}, f"{name} may not sign in any more.", json=json)


@user.command("token", cls=Changing)
def token(
    name: UserName,
    revoke: Annotated[bool, typer.Option("--revoke", help="Take back all tokens of the account instead.")] = False,
    json: Json = False,
) -> None:
    """Make a token for the JSON API, shown this once; it may do what its account may."""
    url = Runtime().database_url
    if revoke:
        count = accounts.revoke_tokens(url, name)
        _tell({"name": name, "revoked": count}, f"{count} tokens of {name} are taken back.", json=json)
    else:
        made = accounts.issue_token(url, name)
        _tell({"name": name, "token": made}, made, json=json)


def _tell(answer: dict[str, object], words: str, *, json: bool) -> None:
    if json:
        print_json(answer)
    else:
        console.print(words, markup=False, soft_wrap=True)


@app.command("audit", rich_help_panel=ACCESS)
def audit_(
    limit: Annotated[int, typer.Option(min=1, max=10000, help="How many entries to go back.")] = 50,
    json: Json = False,
) -> None:
    """Show who changed what, newest first."""
    with transaction(Runtime().database_url) as session:
        found = queries.audit(session, limit)
    if json:
        print_lines(found)
        return
    table(
        ("when", "who", "from", "what", "of", "outcome"),
        ((one["at"], one["actor"], one["via"], one["action"], one["subject"], one["outcome"]) for one in found),
    )
