"""The session: whom it trusts, how long it waits, what it takes from the environment, how it says what went wrong."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
import trustme

from connector import http as our_http
from connector.errors import BadInput, ConnectorError, NeedsAttention, Transient
from connector.http import deadline, plain_errors, session

Talk = Callable[[ssl.SSLSocket, bytes], None]


class Server:
    """Speaks TLS on loopback; `talk` answers each request head, as raw bytes."""

    def __init__(self, authority: trustme.CA, talk: Talk) -> None:
        self.heads: list[bytes] = []
        self.connections = 0
        self._talk = talk
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(self._context)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://localhost:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                plain = self._listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        try:
            with self._context.wrap_socket(plain, server_side=True) as connection:
                self.connections += 1
                while head := connection.recv(65536):
                    self.heads.append(head)
                    self._talk(connection, head)
        except OSError:
            plain.close()


def hello(connection: ssl.SSLSocket, _head: bytes) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")


def trickle(start: bytes) -> Talk:
    def talk(connection: ssl.SSLSocket, _head: bytes) -> None:
        connection.sendall(start)
        while True:
            connection.sendall(b"x")
            time.sleep(0.02)

    return talk


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NETRC"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def serve(authority: trustme.CA) -> Iterator[Callable[[Talk], Server]]:
    servers: list[Server] = []

    def start(talk: Talk) -> Server:
        servers.append(Server(authority, talk))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@contextmanager
def raises(kind: type[ConnectorError], code: str) -> Iterator[None]:
    with pytest.raises(kind) as caught:
        yield
    assert caught.value.code == code
    assert str(caught.value).endswith(".")
    assert "Traceback" not in str(caught.value)


Serve = Callable[[Talk], Server]


def test_only_named_authorities_are_trusted(serve: Serve, ca_file: Path) -> None:
    url = serve(hello).url
    assert session(ca_file).get(url).text == "hello"
    with raises(NeedsAttention, "untrusted_certificate"), plain_errors(url):
        session(None).get(url)


def test_neither_the_environment_nor_a_caller_can_change_the_trust(
    serve: Serve, ca_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = serve(hello).url
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(ca_file))
    with raises(NeedsAttention, "untrusted_certificate"), plain_errors(url):
        session(None).get(url)
    with raises(NeedsAttention, "untrusted_certificate"), plain_errors(url):
        session(None).get(url, verify=False)
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "other.pem"))
    assert session(ca_file).get(url).text == "hello"


def test_the_bundle_that_requests_brings_along_is_not_trusted(
    serve: Serve, ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", str(ca_file))
    url = serve(hello).url
    with raises(NeedsAttention, "untrusted_certificate"), plain_errors(url):
        session(None).get(url)


def test_a_certificate_for_another_host_is_refused(serve: Serve, ca_file: Path) -> None:
    url = serve(hello).url.replace("localhost", "127.0.0.1")
    with raises(NeedsAttention, "untrusted_certificate"), plain_errors(url):
        session(ca_file).get(url)


@pytest.mark.parametrize("content", [None, b"", b"not a certificate"])
def test_a_bundle_that_cannot_be_read_is_bad_input(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadInput, match="CONNECTOR_CA_BUNDLE"):
        session(path)


def test_old_tls_is_refused(ca_file: Path) -> None:
    adapter = session(ca_file).get_adapter("https://localhost")
    assert adapter._context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_connections_are_kept_and_the_connector_says_its_name(serve: Serve, ca_file: Path) -> None:
    server = serve(hello)
    http = session(ca_file)
    for _ in range(3):
        http.get(server.url)
    assert server.connections == 1
    assert b"\r\nUser-Agent: connector/" in server.heads[0]


def test_a_redirect_is_not_followed(serve: Serve, ca_file: Path) -> None:
    target = serve(hello)
    moved = f"HTTP/1.1 302 Found\r\nLocation: {target.url}/\r\nContent-Length: 0\r\n\r\n".encode()
    server = serve(lambda connection, _head: connection.sendall(moved))
    response = session(ca_file).get(server.url, headers={"Authorization": "Bearer secret"}, allow_redirects=True)
    assert response.status_code == 302
    assert target.heads == []


def test_plain_http_is_not_spoken() -> None:
    with pytest.raises(requests.exceptions.InvalidSchema):
        session(None).get("http://localhost:1")


def test_netrc_does_not_replace_the_bearer_token(
    serve: Serve, ca_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine localhost login me password wrong\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    server = serve(hello)
    session(ca_file).get(server.url, headers={"Authorization": "Bearer right"})
    assert b"Authorization: Bearer right" in server.heads[0]


def test_proxies_of_the_environment_are_used_but_not_for_this_machine(
    serve: Serve, ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{closed_port()}")
    assert session(ca_file).get(serve(hello).url).text == "hello"
    with raises(Transient, "unreachable"), plain_errors("https://acme.my.salesforce.com"):
        session(ca_file).get("https://acme.my.salesforce.com")


def test_a_closed_port_is_unreachable() -> None:
    url = f"https://localhost:{closed_port()}"
    with raises(Transient, "unreachable"), plain_errors(url):
        session(None).get(url)


def test_a_host_that_speaks_no_tls_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://localhost:{listener.getsockname()[1]}"

        def greet() -> None:
            with listener.accept()[0] as plain:
                plain.sendall(b"220 mail.example ESMTP\r\n" * 10)
                plain.recv(65536)

        threading.Thread(target=greet, daemon=True).start()
        with raises(Transient, "unreachable"), plain_errors(url):
            session(None).get(url)


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", b"rubbish\r\n\r\n"],
)
def test_an_answer_cut_short_is_no_answer(serve: Serve, ca_file: Path, answer: bytes) -> None:
    def talk(connection: ssl.SSLSocket, _head: bytes) -> None:
        connection.sendall(answer)
        connection.close()

    url = serve(talk).url
    with raises(Transient, "no_answer"), plain_errors(url):
        session(ca_file).get(url)


def test_silence_ends_by_default(serve: Serve, ca_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(our_http, "READ_TIMEOUT", 0.2)
    url = serve(lambda _connection, _head: None).url
    with raises(Transient, "no_answer"), plain_errors(url):
        session(ca_file).get(url)


@pytest.mark.parametrize(
    "start",
    [b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n"],
)
def test_a_trickle_ends_at_the_deadline(serve: Serve, ca_file: Path, start: bytes) -> None:
    url = serve(trickle(start)).url
    began = time.monotonic()
    with raises(Transient, "no_answer"), deadline(0.3), plain_errors(url):
        session(ca_file).get(url)
    assert 0.25 < time.monotonic() - began < 2


def test_silence_ends_at_the_deadline(serve: Serve, ca_file: Path) -> None:
    url = serve(lambda connection, _head: connection.sendall(b"HTTP/1.1 200 OK\r\n\r\nx")).url
    began = time.monotonic()
    with raises(Transient, "no_answer"), deadline(0.3), plain_errors(url):
        session(ca_file).get(url, timeout=5)
    assert time.monotonic() - began < 2


def test_a_trickle_ends_by_default(serve: Serve, ca_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(our_http, "RESPONSE_DEADLINE", 0.3)
    url = serve(trickle(b"HTTP/1.1 200 OK\r\n\r\n")).url
    with raises(Transient, "no_answer"), plain_errors(url):
        session(ca_file).get(url)


def test_a_streamed_body_has_the_deadline_of_its_reader(
    serve: Serve, ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(our_http, "RESPONSE_DEADLINE", 0.2)
    url = serve(trickle(b"HTTP/1.1 200 OK\r\n\r\n")).url
    response = session(ca_file).get(url, stream=True)
    time.sleep(0.3)
    assert response.raw.read(10) == b"x" * 10
    with raises(Transient, "no_answer"), plain_errors(url), deadline(0.3):
        list(response.iter_content(65536))


def test_the_nearest_deadline_counts_and_ends_with_its_block(serve: Serve, ca_file: Path) -> None:
    server, slow = serve(hello), serve(trickle(b"HTTP/1.1 200 OK\r\n\r\n"))
    http = session(ca_file)
    began = time.monotonic()
    with raises(Transient, "no_answer"), plain_errors(slow.url), deadline(0.2), deadline(60):
        http.get(slow.url)
    assert time.monotonic() - began < 2
    time.sleep(0.1)
    assert http.get(server.url).text == "hello"


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
