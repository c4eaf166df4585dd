"""Sending notices by e-mail, webhook or chat through Apprise: bounded in time, and no failure of it is a run's."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from pydantic import SecretStr

from cdp.errors import CdpError
from connector import notices
from connector.errors import BadInput
from connector.notices import Claimed

if TYPE_CHECKING:
    from apprise import NotifyBase

LIMIT = 20.0  # seconds that one message to one destination may take
log = structlog.get_logger()


@dataclass(frozen=True)
class Message:
    """A title and a text of plain lines."""

    title: str
    text: str
    good: bool


TEST = Message("Connector: a test", "Messages of the connector arrive here.", good=True)


@dataclass(frozen=True)
class Destination:
    """Where messages go; the label says its place in the setting and its service, and nothing secret."""

    label: str
    service: "NotifyBase"

    def send(self, message: Message) -> bool:
        """Send a message; tells within `LIMIT` whether it was accepted."""
        answers: list[bool] = []
        thread = threading.Thread(target=lambda: answers.append(self._sent(message)), name="notify", daemon=True)
        thread.start()
        thread.join(LIMIT)
        return answers == [True]

    def _sent(self, message: Message) -> bool:
        kind = "success" if message.good else "warning"
        try:
            return bool(self.service.notify(message.text, title=message.title, notify_type=kind, body_format="text"))
        except Exception:  # noqa: BLE001 - a plugin may raise anything, and with the secret URL in its words
            return False


def destinations(urls: SecretStr | None) -> list[Destination]:
    """Return the destinations of the setting `CONNECTOR_NOTIFY_URLS`.

    Raises:
        BadInput: one of them is not an Apprise URL; its place is named, and never its text.
    """
    if urls is None:
        return []
    from apprise import Apprise  # noqa: PLC0415 - its plugins take a second to load, which nobody else should wait for
    from apprise.utils.parse import parse_urls  # noqa: PLC0415

    found = []
    for number, url in enumerate(parse_urls(urls.get_secret_value()), 1):  # type: ignore[no-untyped-call]
        service = Apprise.instantiate(url)
        if service is None:
            raise BadInput(
                f"The setting CONNECTOR_NOTIFY_URLS cannot be used: number {number} is no Apprise URL such as "
                "mailto://, json:// or slack://; correct it and try again."
            )
        found.append(Destination(f"{number} {service.service_name}", service))
    return found


def deliver(url: str, urls: SecretStr | None, source_id: int | None = None) -> None:
    """Send the notices that are due, and new ones of the source given; what fails is tried again later, and logged."""
    if urls is None:
        return
    try:
        while (claimed := notices.claim(url, source_id)) is not None:
            _deliver(url, urls, claimed)
    except (BadInput, CdpError) as error:
        log.warning("notices_not_sent", error=str(error))


def _deliver(url: str, urls: SecretStr, claimed: Claimed) -> None:
    wanted, message = destinations(urls), worded(claimed)
    delivered = list(claimed.delivered)
    for one in wanted:
        if one.label not in delivered and one.send(message):
            delivered.append(one.label)
    failed = [one.label for one in wanted if one.label not in delivered]
    again = notices.settle(url, claimed, delivered, all_done=not failed)
    if failed:
        log.warning("notice_not_sent", source=claimed.source, destinations=failed, tries=claimed.tries, again=again)
    else:
        log.info("notice_sent", source=claimed.source, about=claimed.kind, destinations=delivered)


def worded(claimed: Claimed) -> Message:
    """Return what a notice says: the source, and each cause with its remedy; nothing of any person."""
    causes = claimed.causes
    if claimed.kind == "attention":
        lines = [f"{cause['message']} {cause['remedy']}" for cause in causes]
        return Message(f"Data source '{claimed.source}' needs attention", "\n".join(lines), good=False)
    lines = ["Nothing needs attention any more. What was mended:", *(cause["message"] for cause in causes)]
    return Message(f"Data source '{claimed.source}' has recovered", "\n".join(lines), good=True)


def test(urls: SecretStr | None) -> Sequence[tuple[str, bool]]:
    """Send a test message to every destination; return each label, and whether it was accepted.

    Raises:
        BadInput: there are none, or one cannot be used.
    """
    wanted = destinations(urls)
    if not wanted:
        raise BadInput("No destination is set: put Apprise URLs into CONNECTOR_NOTIFY_URLS, such as json://host/path.")
    return [(one.label, one.send(TEST)) for one in wanted]
