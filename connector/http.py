"""The way onto the network: one kind of session, with our own trust and time limits, and errors in plain words."""

import re
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies
from urllib3.exceptions import MaxRetryError, NewConnectionError

from connector.errors import BadInput, NeedsAttention, Transient
from connector.hosts import is_loopback

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from requests.adapters import _HostParams, _PoolKwargs
    from urllib3 import HTTPSConnectionPool

CONNECT_TIMEOUT = 10.0
READ_TIMEOUT = 120.0
RESPONSE_DEADLINE = 300.0
POOL_SIZE = 10

_give_up_at: ContextVar[float] = ContextVar("give_up_at", default=float("inf"))


def session(ca_bundle: Path | None) -> "Session":
    """Return a session that trusts the system's authorities and those of `ca_bundle` (PEM), from TLS 1.2 on.

    Raises:
        BadInput: the bundle cannot be read.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslsocket_class = _PunctualSocket
    try:
        if ca_bundle is not None:
            context.load_verify_locations(cafile=ca_bundle)
    except OSError:
        raise BadInput(f"CONNECTOR_CA_BUNDLE names {ca_bundle}, which cannot be read as PEM certificates.") from None
    return Session(context)


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Bound all reading of answers inside the block, headers and body together; of nested ones the nearest counts.

    For a streamed body: read it inside the block, and do not `yield` from there, since a deadline belongs to its thread
    of execution and not to a generator. Past it, requests raises its usual timeout errors.
    """
    token = _give_up_at.set(min(_give_up_at.get(), time.monotonic() + seconds))
    try:
        yield
    finally:
        _give_up_at.reset(token)


@contextmanager
def plain_errors(url: str) -> Iterator[None]:
    """Say in our words what requests raises inside the block while it talks to `url`.

    Raises:
        NeedsAttention: `untrusted_certificate`.
        Transient: `unreachable` when the request was surely not sent, `no_answer` when it may have been carried out.
    """
    host = urlsplit(url).netloc.rpartition("@")[2]
    try:
        yield
    except requests.exceptions.SSLError as error:
        raise _tls_error(host, str(error)) from None
    except (requests.exceptions.ProxyError, requests.exceptions.InvalidProxyURL, requests.exceptions.InvalidSchema):
        raise Transient("unreachable", f"The proxy does not lead to {host}: check HTTPS_PROXY and NO_PROXY.") from None
    except requests.exceptions.RequestException as error:
        if _was_not_sent(error):
            text = f"{host} cannot be reached: check the host, the port and this machine's network."
            raise Transient("unreachable", text) from None
        raise Transient("no_answer", f"{host} did not answer completely in time: try again later.") from None


class Session(requests.Session):
    """A requests session that speaks only https and never follows a redirect, so a token cannot travel to another host.

    Callers see a 3xx as it is. `trust_env` is off because with it a `.netrc` would replace our Authorization header,
    and REQUESTS_CA_BUNDLE our trust; the adapter looks up the environment's proxies itself.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__()
        self.trust_env = False
        self.headers["User-Agent"] = f"connector/{version('connector')}"
        self.adapters.clear()
        self.mount("https://", _Adapter(context))

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Answer that there is nowhere to go on to."""


class _Adapter(HTTPAdapter):
    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__(pool_maxsize=POOL_SIZE, max_retries=0)

    def build_connection_pool_key_attributes(
        self,
        request: requests.PreparedRequest,
        verify: bool | str,
        cert: str | tuple[str, str] | None = None,
    ) -> "tuple[_HostParams, _PoolKwargs]":
        host, pool = super().build_connection_pool_key_attributes(request, verify, cert)
        pool["ssl_context"] = self._context
        return host, pool

    def cert_verify(self, conn: "HTTPSConnectionPool", *_unused: object) -> None:
        """Leave trust to the context: the inherited method would add the certifi bundle to it."""
        conn.cert_reqs = "CERT_REQUIRED"

    def send(  # noqa: PLR0917 - the signature is requests' own
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: float | tuple[float, float] | tuple[float, None] | None = None,
        verify: bool | str = True,  # noqa: ARG002 - verification cannot be switched off here
        cert: bytes | str | tuple[bytes | str, bytes | str] | None = None,
        proxies: Mapping[str, str] | None = None,  # noqa: ARG002 - they come from the environment alone
    ) -> requests.Response:
        """Send under a deadline: for the whole answer, or for its headers when it is streamed."""
        limits = timeout or (CONNECT_TIMEOUT, READ_TIMEOUT)
        with deadline(RESPONSE_DEADLINE):
            response = super().send(
                request, stream, limits, verify=True, cert=cert, proxies=_proxies(request.url or "")
            )
            if not stream:
                _ = response.content
            return response


class _PunctualSocket(ssl.SSLSocket):
    """A socket that waits for bytes no longer than the deadline allows; a read timeout alone never ends a trickle."""

    def recv_into(self, buffer: "WriteableBuffer", nbytes: int | None = None, flags: int = 0) -> int:
        usual, left = self.gettimeout(), _give_up_at.get() - time.monotonic()
        if usual is not None and usual <= left:
            return super().recv_into(buffer, nbytes, flags)
        if left <= 0:
            raise TimeoutError("the deadline of the answer has passed")
        self.settimeout(left)
        try:
            return super().recv_into(buffer, nbytes, flags)
        finally:
            self.settimeout(usual)


def _tls_error(host: str, text: str) -> NeedsAttention | Transient:
    if "EOF" in text:  # the connection was cut: perhaps after the request had been read
        return Transient("no_answer", f"{host} did not answer completely in time: try again later.")
    if "CERTIFICATE_VERIFY_FAILED" not in text:
        return Transient("unreachable", f"{host} does not complete a TLS connection: check the host and the port.")
    reason = re.search(r"verify failed: ([^()]+?)\.? \(_ssl", text)
    return NeedsAttention(
        "untrusted_certificate",
        f"The certificate of {host} is not trusted ({reason[1] if reason else 'verification failed'}).",
        "Check the host, or set CONNECTOR_CA_BUNDLE to the PEM file of the authority that signed it.",
    )


def _was_not_sent(error: requests.exceptions.RequestException) -> bool:
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return True
    cause = error.args[0] if error.args else None
    return isinstance(cause, MaxRetryError) and isinstance(cause.reason, NewConnectionError)


def _proxies(url: str) -> dict[str, str]:
    return {} if is_loopback(urlsplit(url).hostname or "") else get_environ_proxies(url)
