"""The hosts a source may live on: Salesforce's own domains and whatever the operator lists, nothing else."""

import ipaddress
import re
from collections.abc import Sequence
from typing import NamedTuple

from connector.errors import BadInput

HTTPS_PORT = 443

# The label before my.salesforce.com in the last form is sandbox, develop, scratch …: Salesforce owns that list.
SALESFORCE_HOSTS = (
    "login.salesforce.com:443",
    "test.salesforce.com:443",
    "*.my.salesforce.com:443",
    "*.*.my.salesforce.com:443",
)

_LABEL = r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)"
_PORT = r"(?::(?P<port>[1-9][0-9]{0,4}))?"
_ORIGIN = re.compile(rf"(?:[Hh][Tt][Tt][Pp][Ss]://)?(?P<host>{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:.]+\])\.?{_PORT}/?")
_PATTERN = re.compile(rf"(?P<host>(?:(?:\*|{_LABEL})\.)*{_LABEL}|\[[0-9A-Fa-f:.]+\]){_PORT}")
_NUMERIC = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")


class Authority(NamedTuple):
    """A host in lower case without a last dot, and its port; a pattern without a port has None and means any port."""

    host: str
    port: int | None


def check_url(url: str, allowed: Sequence[str]) -> str:
    """Return the normalised origin of a login or instance URL, `https://host` or `https://host:port`.

    A bare host counts as https. Salesforce's own hosts are those of its documented login and My Domain forms, on port
    443. `allowed` adds patterns `host` (any port) or `host:port`, in which `*` stands for exactly one label and never
    for the last one. An IP address is matched only by itself, a loopback name only by a pattern that ends in it.

    Raises:
        BadInput: the text is not an origin, or its host is not allowed, or a pattern cannot be read.
    """
    match = _ORIGIN.fullmatch(url)
    if match is None or not _usable(match["host"], match["port"]):
        raise BadInput("The URL is not usable: give https://HOST or https://HOST:PORT in ASCII and nothing after it.")
    origin = Authority(_canonical(match["host"]), int(match["port"] or HTTPS_PORT))
    if not any(_matches(origin, _pattern(text)) for text in (*SALESFORCE_HOSTS, *allowed)):
        raise BadInput(
            f"The host {_text(origin)} is not one of Salesforce's: use login.salesforce.com, test.salesforce.com or "
            f"your My Domain (NAME.my.salesforce.com), or list {_text(origin)} in CONNECTOR_ALLOWED_HOSTS."
        )
    return f"https://{_text(origin)}"


def is_loopback(host: str) -> bool:
    """Tell whether a host, as a URL's parser gives it, names this machine."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _pattern(text: str) -> Authority:
    match = _PATTERN.fullmatch(text)
    if match is None or not _usable(match["host"].replace("*", "x"), match["port"]):
        raise BadInput(
            f"CONNECTOR_ALLOWED_HOSTS holds '{text}', which is not a host or host:port: write names such as "
            "sim.example.com:8443 or *.example.com, with * for one whole label other than the last."
        )
    return Authority(_canonical(match["host"]), int(match["port"]) if match["port"] else None)


def _matches(origin: Authority, pattern: Authority) -> bool:
    if pattern.port not in (None, origin.port):
        return False
    theirs, ours = origin.host.split("."), pattern.host.split(".")
    return len(theirs) == len(ours) and all(p in ("*", label) for label, p in zip(theirs, ours, strict=True))


def _usable(host: str, port: str | None) -> bool:
    """Refuse what the shape lets through: long names, high ports, and numbers that resolvers read as addresses."""
    if len(host) > 253 or int(port or HTTPS_PORT) > 65535:
        return False
    numeric = host.startswith("[") or _NUMERIC.fullmatch(host.rpartition(".")[2]) is not None
    return _is_address(host) if numeric else True


def _is_address(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return (address.version == 6) == host.startswith("[")


def _canonical(host: str) -> str:
    return f"[{ipaddress.ip_address(host.strip('[]'))}]" if host.startswith("[") else host.lower()


def _text(origin: Authority) -> str:
    return origin.host if origin.port == HTTPS_PORT else f"{origin.host}:{origin.port}"
