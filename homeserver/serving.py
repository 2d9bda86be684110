"""Applications on sockets: listen, say so, run until told to stop, and leave in order."""

from __future__ import annotations

import asyncio
import errno
import gc
import math
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Final, TypeVar

from aiohttp import web

from homeserver.errors import BadSettings

T = TypeVar("T")
Say = Callable[[str], None]

GRACE_S: Final = 20.0
"""How long running requests may go on after the signal to stop, where nothing else is said."""

LAST_S: Final = 30.0
"""What a worker may need beyond the grace of its requests, and as much again to end those that were stopped."""

NEW_OBJECTS: Final = 50_000
"""More containers made than given up, when the collector looks at the young ones. It is above what is under way at any
time, so only cycles come to it; usually some megabytes of them are kept for nothing meanwhile."""

READ_BUFFER_BYTES: Final = 256 * 1024
"""asyncio reads at most this much at once; uploads gain 1.6x over the default, nothing gains from more."""

UVLOOP_READ_BUFFER_BYTES: Final = 64 * 1024
"""uvloop reads so much at once, and more of it together costs a third more time."""


def read_buffer_bytes() -> int:
    """How much of a request the running loop should let wait."""
    is_uvloop = type(asyncio.get_running_loop()).__module__.partition(".")[0] == "uvloop"
    return UVLOOP_READ_BUFFER_BYTES if is_uvloop else READ_BUFFER_BYTES


def run(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run`, on uvloop where it exists (1.16x measured), with a garbage collector that looks seldom."""
    with _looking_seldom():
        try:
            import uvloop  # noqa: PLC0415 - not everywhere
        except ImportError:
            return asyncio.run(main)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(main)


@contextmanager
def _looking_seldom() -> Iterator[None]:
    """Have the collector leave out what is loaded by now, and wait for more that is new.

    Cycles alone need it. Answers with a hundred dictionaries, a few hundred of them under way, had it go over all that
    the process holds again and again: a quarter of the sync's CPU.
    """
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def listen(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A socket that listens: who connects from now on waits until it is served. `shared` lets processes share a port.

    Raises:
        BadSettings: The port is taken, or the address is not this machine's; one sentence says so.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise BadSettings(
                f"Port {port} on {host} is taken by another program; stop it or choose another port."
            ) from error
        raise BadSettings(f"Cannot listen on {host}, port {port}: {error.strerror or error}.") from error
    return listener


@asynccontextmanager
async def serving(app: web.Application, listener: socket.socket, *, grace_s: float = GRACE_S) -> AsyncIterator[None]:
    """Serve `app` on a bound socket inside the context; at the end requests that run have `grace_s` to end.

    A handler goes on when its client hangs up: a score that was begun is written to the end. The access log is off,
    because request lines hold signatures and links.
    """
    runner = web.AppRunner(
        app, access_log=None, handler_cancellation=False, shutdown_timeout=grace_s, read_bufsize=read_buffer_bytes()
    )
    await runner.setup()
    try:
        await web.SockSite(runner, listener).start()
        yield
    finally:
        await runner.cleanup()


@asynccontextmanager
async def stop_signal() -> AsyncIterator[asyncio.Event]:
    """An event that SIGINT and SIGTERM set."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def serve(
    app: web.Application, host: str, port: int, say: Say, *, shared: bool = False, grace_s: float = GRACE_S
) -> None:
    """Serve one application until a signal comes. Then nobody new is let in, and what runs may end: see `serving`."""
    listener = listen(host, port, shared=shared)
    bound_host, bound_port = listener.getsockname()[:2]
    address = f"http://[{bound_host}]:{bound_port}" if ":" in bound_host else f"http://{bound_host}:{bound_port}"
    async with stop_signal() as stop, serving(app, listener, grace_s=grace_s):
        say(f"homeserver listens on {address} (Ctrl-C stops it)")
        await stop.wait()
        say("Stopping: requests that run may end.")


def serve_by_workers(
    command: Sequence[str], workers: int, host: str, port: int, say: Say, *, grace_s: float = GRACE_S
) -> int:
    """Run `command` in so many processes that share the port; pass signals on; the first that fails stops all.

    One that does not end in twice `grace_s` and half a minute more is killed.

    Returns:
        The exit status for this process: 0 after a signal, 1 when a worker ended by itself or had to be killed.
    """
    listen(host, port).close()  # a port that another program holds is said once, not once for each worker
    children: list[subprocess.Popen[bytes]] = []
    stopping = False
    patient_until_s = math.inf

    def stop(*_: object) -> None:
        nonlocal stopping, patient_until_s
        if not stopping:
            patient_until_s = time.monotonic() + 2 * grace_s + LAST_S
        stopping = True
        for child in children:
            with suppress(ProcessLookupError):
                child.terminate()

    # Before the first child: one that starts while a signal comes would be left behind.
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    children.extend(subprocess.Popen([sys.executable, *command]) for _ in range(workers))  # noqa: S603 - our own
    if stopping:
        stop()
    say(f"{workers} workers share port {port} on {host} (Ctrl-C stops them)")
    failed = False
    waiting = list(children)
    while waiting:
        if time.monotonic() > patient_until_s:
            failed, patient_until_s = True, math.inf
            say(f"{len(waiting)} workers did not end in time, and are killed.")
            for child in waiting:
                child.kill()
        for child in list(waiting):
            with suppress(subprocess.TimeoutExpired):
                child.wait(timeout=0.2)
                waiting.remove(child)
                if not stopping:
                    failed = True
                    say(f"A worker ended with status {child.returncode}; the others stop too.")
                    stop()
    return 1 if failed else 0
