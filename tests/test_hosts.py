"""Which URLs may lead to an org: the shape first, then the list, and never anything besides."""

import ipaddress
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connector.errors import BadInput
from connector.hosts import check_url, is_loopback

ORIGIN = re.compile(r"https://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]+)?")
OWN = re.compile(r"https://((login|test)|([a-z0-9-]+\.){1,2}my)\.salesforce\.com")
LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://login.salesforce.com", "https://login.salesforce.com"),
        ("https://test.salesforce.com/", "https://test.salesforce.com"),
        ("login.salesforce.com", "https://login.salesforce.com"),
        ("HTTPS://ACME.My.Salesforce.COM:443/", "https://acme.my.salesforce.com"),
        ("https://acme.my.salesforce.com.", "https://acme.my.salesforce.com"),
        ("https://acme--uat.sandbox.my.salesforce.com", "https://acme--uat.sandbox.my.salesforce.com"),
        ("https://acme-dev-ed.develop.my.salesforce.com", "https://acme-dev-ed.develop.my.salesforce.com"),
        ("https://acme-dev-ed.scratch.my.salesforce.com", "https://acme-dev-ed.scratch.my.salesforce.com"),
    ],
)
def test_salesforce_hosts_are_normalised(url: str, origin: str) -> None:
    assert check_url(url, []) == origin


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://",
        "http://login.salesforce.com",
        "ftp://login.salesforce.com",
        "//login.salesforce.com",
        "https:/login.salesforce.com",
        "https://user@login.salesforce.com",
        "https://user:pass@login.salesforce.com",
        "https://login.salesforce.com@evil.example",
        "https://login.salesforce.com/setup",
        "https://login.salesforce.com//",
        "https://login.salesforce.com?x=1",
        "https://login.salesforce.com#x",
        "https://login.salesforce.com\\@evil.example",
        "https://login.salesforce.com\\",
        " https://login.salesforce.com",
        "https://login.salesforce.com\n",
        "https://login.sales\tforce.com",
        "https://login.salesforce.com\x00",
        "https://login。salesforce.com",
        "https://ⓛogin.salesforce.com",
        "https://\u212aogin.salesforce.com",
        "https://acmé.my.salesforce.com",
        "https://login.salesforce.com\u200b",
        "https://login.salesforce.com:",
        "https://login.salesforce.com:0",
        "https://login.salesforce.com:0443",
        "https://login.salesforce.com:65979",
        "https://login.salesforce.com:+443",
        "https://login.salesforce.com:４４３",
        "https://login..salesforce.com",
        "https://.login.salesforce.com",
        "https://login.salesforce.com..",
        "https://-a.my.salesforce.com",
        "https://a-.my.salesforce.com",
        "https://a_b.my.salesforce.com",
        "https://%6cogin.salesforce.com",
        "https://*.my.salesforce.com",
        f"https://{'a' * 64}.my.salesforce.com",
        "https://[::1",
        "https://[::1%25eth0]",
        "https://[]",
        "https://[1.2.3.4]",
    ],
)
def test_whatever_is_not_a_plain_origin_is_refused(url: str) -> None:
    with pytest.raises(BadInput, match="is not usable"):
        check_url(url, ["*.example", "evil.example", "[::1]"])


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example",
        "https://salesforce.com",
        "https://my.salesforce.com",
        "https://evil.salesforce.com",
        "https://login.salesforce.com.evil.example",
        "https://xlogin.salesforce.com",
        "https://a.b.c.my.salesforce.com",
        "https://acme.lightning.force.com",
        "https://login.salesforce.com:8443",
        "https://acme.my.salesforce.com:22",
        "https://localhost",
        "https://localhost:8443",
        "https://127.0.0.1",
        "https://169.254.169.254",
        "https://[::1]:8443",
    ],
)
def test_other_hosts_are_refused_with_the_way_to_allow_them(url: str) -> None:
    with pytest.raises(BadInput, match="CONNECTOR_ALLOWED_HOSTS"):
        check_url(url, [])


@pytest.mark.parametrize(
    "url", ["https://2130706433", "https://0x7f.1", "https://127.1", "https://0177.0.0.1", "https://1.2.3.0x4"]
)
def test_numbers_that_resolvers_take_for_addresses_are_refused(url: str) -> None:
    with pytest.raises(BadInput, match="is not usable"):
        check_url(url, ["127.0.0.1"])


@pytest.mark.parametrize(
    ("url", "pattern", "passes"),
    [
        ("https://localhost:8443", "localhost:8443", True),
        ("https://localhost:8444", "localhost:8443", False),
        ("https://localhost:8443", "localhost", True),
        ("https://LOCALHOST.:8443", "LocalHost", True),
        ("https://localhost", "*.example", False),
        ("https://sim.example", "*.example", True),
        ("https://a.sim.example", "*.example", False),
        ("https://example", "*.example", False),
        ("https://a.b.example:99", "*.b.example:99", True),
        ("https://a.b.example", "a.*.example:443", True),
        ("https://127.0.0.1:8443", "127.0.0.1:8443", True),
        ("https://127.0.0.2:8443", "127.0.0.1:8443", False),
        ("https://127.0.0.1", "*.0.0.1", False),
        ("https://[0:0::1]:8443", "[::1]:8443", True),
        ("https://[::2]:8443", "[::1]:8443", False),
    ],
)
def test_listed_patterns_match_label_by_label(url: str, pattern: str, passes: bool) -> None:
    if passes:
        assert check_url(url, [pattern]).startswith("https://")
    else:
        with pytest.raises(BadInput):
            check_url(url, [pattern])


@pytest.mark.parametrize(
    "pattern", ["https://sim.example", "*", "sim.*", "a*.example", "*.*", "sim.example:*", "sim.example/", ""]
)
def test_an_unreadable_pattern_is_named_and_never_skipped(pattern: str) -> None:
    with pytest.raises(BadInput, match=re.escape(f"'{pattern}'")):
        check_url("https://sim.example", [pattern])


def test_a_refusal_does_not_echo_what_may_be_a_secret() -> None:
    with pytest.raises(BadInput) as caught:
        check_url("https://me:hunter2@login.salesforce.com", [])
    assert "hunter2" not in str(caught.value)


@given(
    st.text()
    | st.from_regex(
        r"(https://)?[\x21-\x7e]{0,20}[.@/\\:#?]?(login|x\.my)?\.salesforce\.com[\x00-\u00ff]{0,6}", fullmatch=True
    )
)
@example("https://x.my.salesforce.com\n")
def test_nothing_but_salesforce_passes_an_empty_list(url: str) -> None:
    try:
        origin = check_url(url, [])
    except BadInput:
        return
    assert OWN.fullmatch(origin)


@given(
    st.lists(LABELS, min_size=1, max_size=4), st.lists(LABELS | st.just("*"), max_size=3), LABELS, st.integers(1, 65535)
)
def test_a_host_passes_exactly_when_its_labels_do(host: list[str], stars: list[str], last: str, port: int) -> None:
    if last.isdecimal() or re.fullmatch(r"0x[0-9a-f]*", last):
        return
    pattern, origin = [*stars, last], f"https://{'.'.join(host)}:{port}"
    expected = len(host) == len(pattern) and all(p in ("*", label) for p, label in zip(pattern, host, strict=True))
    try:
        passed = check_url(origin, [".".join(pattern)]) == origin.removesuffix(":443")
    except BadInput:
        passed = False
    assert passed == expected


@given(st.text(min_size=1))
def test_what_passes_is_an_origin_that_passes_again(text: str) -> None:
    allowed = ["*.example", "*.*.example", "127.0.0.1:8443", "localhost"]
    for url in (text, f"https://{text}.example", f"https://a.example{text}", f"https://localhost{text}"):
        try:
            origin = check_url(url, allowed)
        except BadInput:
            continue
        assert ORIGIN.fullmatch(origin)
        assert check_url(origin, allowed) == origin


@given(st.ip_addresses())
def test_an_address_passes_only_by_itself(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    text = f"[{address}]" if address.version == 6 else str(address)
    assert check_url(f"https://{text}", [text]) == f"https://{text}"
    with pytest.raises(BadInput):
        check_url(f"https://{text}", ["*.*.*.x", "localhost"])


def test_loopback_names() -> None:
    assert all(
        is_loopback(host)
        for host in ("localhost", "LOCALHOST.", "a.localhost", "127.0.0.1", "127.9.9.9", "::1", "[::1]")
    )
    assert not any(is_loopback(host) for host in ("", "localhost.example", "10.0.0.1", "login.salesforce.com"))
