"""A host far away: a network namespace, and a cable to it that holds each packet for a while.

The kernel's own way to delay packets (netem) is missing from many machines, TUN devices from few. Needs root.
`python -m tests.bench.far PORT…`, which is started over there, hands connections from the cable on to its loopback.
"""

import asyncio
import fcntl
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

NAMESPACE = "connector-far"
THERE = (*("ip", "netns", "exec"), NAMESPACE)
"""The words before a command that is to run over there."""
LOOPBACK = "127.0.0.1"
NEAR_DEVICE, FAR_DEVICE = "connector0", "connector1"
NEAR_ADDRESS, FAR_ADDRESS = "10.77.0.1", "10.77.0.2"
MTU = 60_000
CHUNK = 1 << 16
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000


@contextmanager
def cable(latency: float) -> Iterator[None]:
    """Make the namespace and a cable to it, over which an answer comes `latency` seconds after its question.

    Raises:
        SystemExit: this user may not, or the machine cannot.
    """
    with ExitStack() as stack:
        try:
            _ip("netns", "add", NAMESPACE)
            stack.callback(_ip, "netns", "del", NAMESPACE)
            ends = [_device(name) for name in (NEAR_DEVICE, FAR_DEVICE)]
            for end in ends:
                stack.callback(os.close, end)
            _connect()
        except (OSError, subprocess.CalledProcessError) as error:
            raise SystemExit(f"A host far away needs root and /dev/net/tun ({error}): use --near.") from error
        with _loop() as loop:
            for source, target in (ends, reversed(ends)):
                loop.call_soon_threadsafe(_pump, loop, source, target, latency / 2)
            yield


@contextmanager
def reached(ports: Sequence[int]) -> Iterator[None]:
    """Make ports of the loopback over there be ports of this one."""
    words = [sys.executable, "-m", "tests.bench.far", *map(str, ports)]
    with subprocess.Popen([*THERE, *words], stdout=subprocess.PIPE) as process, _loop() as loop:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            asyncio.run_coroutine_threadsafe(_relay(LOOPBACK, ports, FAR_ADDRESS), loop).result()
            yield
        finally:
            process.terminate()


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def _device(name: str) -> int:
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN | IFF_NO_PI))
    return device


def _connect() -> None:
    _ip("link", "set", FAR_DEVICE, "netns", NAMESPACE)
    for place, device, own in (((), NEAR_DEVICE, NEAR_ADDRESS), (("-n", NAMESPACE), FAR_DEVICE, FAR_ADDRESS)):
        _ip(*place, "addr", "add", f"{own}/30", "dev", device)
        _ip(*place, "link", "set", device, "mtu", str(MTU), "up")
    _ip("-n", NAMESPACE, "link", "set", "lo", "up")


@contextmanager
def _loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Run an event loop in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True, name="far")
    thread.start()
    try:
        yield loop
    finally:
        asyncio.run_coroutine_threadsafe(_end_all(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


async def _end_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def _pump(loop: asyncio.AbstractEventLoop, source: int, target: int, delay: float) -> None:
    """Carry packets from one end to the other, each `delay` seconds after it came."""

    def carry() -> None:
        with suppress(BlockingIOError):
            while True:
                loop.call_later(delay, _put, target, os.read(source, CHUNK))

    loop.add_reader(source, carry)


def _put(target: int, packet: bytes) -> None:
    with suppress(OSError):  # a network may lose packets
        os.write(target, packet)


async def _relay(listen: str, ports: Iterable[int], target: str) -> None:
    """Hand on connections to `ports` of one address to the same ports of another."""

    async def serve(port: int) -> None:
        async def hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(OSError, asyncio.CancelledError):
                onward = await asyncio.open_connection(target, port)
                await asyncio.gather(_copy(reader, onward[1]), _copy(onward[0], writer))

        await asyncio.start_server(hand_on, listen, port)

    for port in ports:
        await serve(port)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, asyncio.CancelledError):
        while chunk := await reader.read(CHUNK):
            writer.write(chunk)
            await writer.drain()
    writer.close()


async def _hand_on_over_there(ports: Sequence[int]) -> None:
    await _relay(FAR_ADDRESS, ports, LOOPBACK)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_hand_on_over_there([int(port) for port in sys.argv[1:]]))
