"""What a fault does to a request on the wire."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from starlette.datastructures import MutableHeaders
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .errors import ApiError
from .faults import Fault
from .wire import refusal, reply

MAINTENANCE = "<!doctype html><html><body><h1>We are down for maintenance.</h1></body></html>"
BROKEN_JSON = b'{"totalSize":1,"done":true,"records":[{"attributes":{"type":'


class Exchange(NamedTuple):
    """One request on its way: the application that would answer it, and the ASGI channels."""

    app: ASGIApp
    scope: Scope
    receive: Receive
    send: Send


async def disrupt(fault: Fault, exchange: Exchange) -> None:
    """Answer the request as `fault` says; the kinds that let the org carry it out call the application."""
    special = SPECIAL.get(fault.kind)
    if special:
        await special(fault, exchange)
    else:
        await _substitute(fault, exchange.scope["path"])(exchange.scope, exchange.receive, exchange.send)


def _substitute(fault: Fault, path: str) -> Response:
    if fault.kind == "html":
        return HTMLResponse(MAINTENANCE)
    if fault.kind == "invalid_json":
        return Response(BROKEN_JSON, media_type="application/json;charset=UTF-8")
    answer = fault.answer()
    if path.startswith("/services/oauth2/"):
        return reply({"error": answer.code, "error_description": answer.message}, answer.status)
    return refusal(ApiError(answer.code, answer.message, status=answer.status))


async def _slow(fault: Fault, exchange: Exchange) -> None:
    await asyncio.sleep(fault.seconds)
    await exchange.app(exchange.scope, exchange.receive, exchange.send)


async def _hang(_fault: Fault, exchange: Exchange) -> None:
    await _until_closed(exchange)


async def _reset(_fault: Fault, exchange: Exchange) -> None:
    # Lingering for no time makes the kernel send a reset in the place of an orderly end.
    transport = exchange.scope["transport"]
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    await _until_closed(exchange)


async def _lose_answer(fault: Fault, exchange: Exchange) -> None:
    await _answer(exchange)
    await _reset(fault, exchange)


async def _cut(_fault: Fault, exchange: Exchange) -> None:
    """Announce the whole body, send half of it, close."""
    start, body = await _answer(exchange)
    await _send_half(exchange, start, body, announced=len(body))


async def _stall(_fault: Fault, exchange: Exchange) -> None:
    """Announce the whole body, send half of it, and no more."""
    start, body = await _answer(exchange)
    await exchange.send(_announcing(start, len(body)))
    await exchange.send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
    await _until_closed(exchange)


async def _wrong_length(_fault: Fault, exchange: Exchange) -> None:
    """Announce half of the body: to the client a complete answer, the rest of which is lost."""
    start, body = await _answer(exchange)
    await _send_half(exchange, start, body, announced=len(body) // 2)


async def _answer(exchange: Exchange) -> tuple[Message, bytes]:
    messages: list[Message] = []

    async def keep(message: Message) -> None:
        messages.append(message)

    await exchange.app(exchange.scope, exchange.receive, keep)
    return messages[0], b"".join(message.get("body", b"") for message in messages[1:])


async def _send_half(exchange: Exchange, start: Message, body: bytes, *, announced: int) -> None:
    half = body[: len(body) // 2]
    await exchange.send(_announcing(start, announced))
    await exchange.send({"type": "http.response.body", "body": half, "more_body": announced > len(half)})
    exchange.scope["transport"].close()
    await _until_closed(exchange)


def _announcing(start: Message, length: int) -> Message:
    MutableHeaders(raw=start["headers"])["Content-Length"] = str(length)
    return start


async def _until_closed(exchange: Exchange) -> None:
    while (await exchange.receive())["type"] != "http.disconnect":
        pass


SPECIAL: dict[str, Callable[[Fault, Exchange], Awaitable[None]]] = {
    "slow": _slow,
    "hang": _hang,
    "reset": _reset,
    "lose_answer": _lose_answer,
    "cut": _cut,
    "stall": _stall,
    "wrong_length": _wrong_length,
}
