"""The whole way in a real browser: sign in, connect an org, watch it sync, edit, backfill, find somebody, delete.

Needs Debian's package chromium; skipped with that reason where it is missing. With SCREENSHOTS=1 the pictures of the
README are made anew.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from connector import accounts, demo
from connector.demo import Stage
from tests.dashboard.conftest import PASSWORD, served

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
QUIET = ["--disable-component-update", "--disable-sync", "--ignore-certificate-errors"]
LEVELS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
PICTURES = Path(__file__).parents[2] / "docs" / "images"
PATIENCE = 60_000  # milliseconds, for a worker to do its part
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not CHROMIUM.exists(), reason="needs a browser: apt-get install chromium"),
]
expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """Two simulated orgs, a worker and a beat, as the demo has them; nothing is connected yet."""
    with demo.stage(200, 200) as on, _beat(on):
        accounts.add(on.runtime.database_url, "ada", "admin", PASSWORD)
        yield on


@contextmanager
def _beat(on: Stage) -> Iterator[None]:
    settings = on.runtime.settings
    environment = {
        "PATH": os.environ["PATH"],
        "CONNECTOR_HOME": str(settings.home),
        "CONNECTOR_LOG_LEVEL": "ERROR",
    }
    command = [sys.executable, "-m", "connector", "beat"]
    process = subprocess.Popen(command, env=environment, cwd=settings.home.parent, start_new_session=True)
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module")
def address(stage: Stage) -> Iterator[str]:
    with served(stage.runtime) as url:
        yield url


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=[*FLAGS, *QUIET])
        yield browser
        browser.close()


class Visit:
    """A page in the browser; every page that is looked at must be free of barriers and of complaints."""

    def __init__(self, chromium: Browser, address: str, scheme: str = "light", width: int = 1280) -> None:
        viewport = {"width": width, "height": 900}
        context = chromium.new_context(
            base_url=address, color_scheme=scheme, viewport=viewport, ignore_https_errors=True
        )
        self.page: Page = context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.set_default_timeout(PATIENCE)

    def sign_in(self) -> None:
        self.page.goto("/login")
        self.page.get_by_label("Name").fill("ada")
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.get_by_role("button", name="Sign in").click()
        expect(self.page.get_by_role("heading", name="Overview")).to_be_visible()

    def go(self, path: str) -> None:
        self.page.goto(path)

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    def follow(self, name: str) -> None:
        self.page.get_by_role("link", name=name, exact=True).click()

    def sees(self, words: str | re.Pattern[str]) -> None:
        expect(self.page.locator("main")).to_contain_text(words)

    def check(self) -> None:
        """Look for barriers of level A and AA, and for anything the browser complained about."""
        found = Axe().run(self.page, options={"runOnly": {"type": "tag", "values": LEVELS}})
        assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found.response["violations"]] == []
        assert self.complaints == []
        overflow = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow <= 0, f"{self.page.url} is wider than the screen"

    def picture(self, name: str) -> None:
        if os.environ.get("SCREENSHOTS"):
            PICTURES.mkdir(exist_ok=True)
            self.page.screenshot(path=PICTURES / f"{name}.png")


def connect(visit: Visit, stage: Stage, name: str) -> None:
    org = stage.orgs[name]
    credentials = stage.server.credentials(org)
    visit.go("/connect")
    visit.page.get_by_label("Name of the data source").fill(name)
    visit.page.get_by_label("Custom domain", exact=True).check()
    visit.page.get_by_label("With a custom domain").fill(stage.server.url(org))
    visit.page.get_by_label("Consumer key").fill(credentials["client_id"])
    visit.page.get_by_label("Consumer secret").fill(credentials.get("client_secret") or "")
    visit.check()
    visit.press("Continue to Salesforce")
    visit.sees("Salesforce will ask")
    visit.check()
    visit.page.get_by_role("link", name="Go to localhost").click()
    visit.page.get_by_role("button", name="Allow").click()
    visit.sees(f"{name} is connected")
    visit.complaints.clear()  # the simulator's own page has no icon
    visit.sees("The credentials work.")
    visit.check()


def follow_runs_to_their_end(visit: Visit, source: int, kind: str, after: str = "") -> str:
    """Wait until the newest run of a kind, another one than `after`, has succeeded; return its number."""
    visit.go(f"/sources/{source}")
    runs = visit.page.get_by_role("region", name="Runs").get_by_role("row")
    newest = runs.filter(has=visit.page.get_by_role("cell", name=kind, exact=True)).first
    number = newest.get_by_role("rowheader")
    expect(number).not_to_have_text(after or "none")
    expect(newest).to_contain_text("succeeded")
    return number.inner_text()


def test_the_whole_way(stage: Stage, address: str, chromium: Browser) -> None:
    visit = Visit(chromium, address)
    visit.page.goto("/login")
    visit.check()
    visit.sign_in()
    visit.check()
    for name in stage.orgs:
        connect(visit, stage, name)
    first = follow_runs_to_their_end(visit, 1, "poll")
    follow_runs_to_their_end(visit, 2, "poll")
    visit.check()
    visit.picture("source")
    visit.go("/")
    visit.sees("together")
    visit.picture("overview")
    visit.go("/sources/1")
    visit.follow("Check now")
    visit.sees("The credentials work.")
    visit.check()
    _edit_a_filter(visit)
    follow_runs_to_their_end(visit, 1, "poll", after=first)  # its mapping is locked while it is read anew
    _map_a_field_and_fill_it(visit)
    _find_a_person(visit, stage)
    _disconnect_and_delete(visit)


def _edit_a_filter(visit: Visit) -> None:
    visit.go("/sources/1/filter")
    visit.press("Add a condition to filter")
    visit.page.get_by_label("Field of condition 1").fill("Lead.Company")
    visit.page.get_by_label("Comparison").select_option("is_not_empty")
    visit.press("Add a group to filter")
    visit.page.get_by_label("Field of condition 2.1").fill("object")
    visit.page.get_by_label("Value, or several").nth(1).fill("Contact")
    visit.page.get_by_label("True when").first.select_option("any")
    visit.sees(re.compile(r"Finding out took \d+ API calls"))
    visit.complaints.clear()  # a condition that is half typed when it is counted is refused
    visit.check()
    visit.picture("filter")
    visit.press("Apply …")
    visit.sees("Put this filter in force?")
    visit.check()
    visit.press("Put it in force")
    visit.sees("Versions, newest first")
    visit.check()


def _map_a_field_and_fill_it(visit: Visit) -> None:
    visit.go("/sources/1/mapping")
    visit.check()
    visit.page.get_by_label("Salesforce field", exact=True).fill("Lead.Rating")
    visit.page.get_by_label("Person field, there or new").fill("rating")
    visit.press("Map …")
    visit.sees("A new person field adds a column")
    visit.check()
    visit.press("Map")
    visit.sees("Fields to fill")
    visit.press("Estimate")
    visit.sees("What it would cost")
    visit.check()
    visit.press("Backfill")
    visit.sees("It is queued")
    follow_runs_to_their_end(visit, 1, "backfill")


def _find_a_person(visit: Visit, stage: Stage) -> None:
    hero = next(one for one in demo.profiles(stage).values() if len(one["records"]) > 2)
    visit.go("/people")
    visit.page.get_by_label("Email, name").press_sequentially(hero["email"])
    visit.page.get_by_role("link", name=re.compile(hero["fields"]["last_name"])).first.click()
    visit.sees("What holds them together")
    visit.follow("Why these values?")
    visit.sees("Each value, and why it is that one")
    visit.check()
    visit.picture("person")
    visit.go(f"/people?q={hero['records'][0]['record_id']}")
    visit.sees("It is part of person")
    visit.check()
    for path in ("/decisions", "/audit", "/sources/1/quarantine"):
        visit.go(path)
        visit.check()


def _disconnect_and_delete(visit: Visit) -> None:
    visit.go("/sources/2")
    for action, done in (("Disconnect", "It is disconnected."), ("Archive", "It is archived.")):
        visit.follow(action)
        visit.sees("What it will do")
        visit.check()
        visit.press(action)
        visit.sees(done)
    visit.follow("Delete")
    visit.sees("people vanish")
    visit.page.get_by_label("Type the name").fill("globex")
    visit.check()
    visit.press("Delete")
    expect(visit.page.get_by_role("heading", name="Overview")).to_be_visible()
    expect(visit.page.get_by_role("heading", name="globex")).to_have_count(0)
    visit.go("/sources/2")
    visit.sees("There is no such data source")


def test_in_the_dark_and_on_a_phone(stage: Stage, address: str, chromium: Browser) -> None:
    if not demo.profiles(stage):
        pytest.skip("the way through the pages has not been gone")
    person = next(iter(demo.profiles(stage)))
    for scheme, width in (("dark", 1280), ("light", 390), ("dark", 390)):
        visit = Visit(chromium, address, scheme, width)
        visit.sign_in()
        pages = ("/", "/sources/1", "/sources/1/filter", "/sources/1/mapping", "/people?q=a", f"/people/{person}")
        for path in (*pages, "/connect", "/audit", "/decisions", "/sources/1/do/resync"):
            visit.go(path)
            visit.check()
            if path == "/" and (scheme, width) == ("dark", 390):
                visit.picture("phone")
        assert visit.page.get_by_role("link", name="Skip to the content").count() == 1
