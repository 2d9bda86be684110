"""A home server that a test can kill or stop: `python -m tests.web.server_process FOLDER HOME_URL PORT SANDBOX_PORT`.

A fifth argument is how long its requests may go on when it is told to stop, in seconds; a sixth, how many processes it
is to be.

Several may run in one folder, each on a port of its own: they are one home server, whose address is HOME_URL.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from homeserver import logs
from homeserver.cli import say
from homeserver.demo import demo_settings, prepare_sandbox
from homeserver.serving import GRACE_S, run, serve, serve_by_workers
from homeserver.wiring import make_app
from tests.patience import PATIENCE_S

ANSWERS: Final = b"homeserver listens on"
WARNINGS: Final = "error,ignore:unclosed resource:ResourceWarning"
"""A connection whose other end takes nothing any more is there still when the process ends, which closes it. uvloop
warns of it while it lets go of it; an error from there would keep it from ever ending."""


async def main(folder: Path, home_url: str, port: int, sandbox_port: int, grace_s: float, *, shared: bool) -> None:
    """Serve until told to stop, or killed; says a line when it answers."""
    sandbox, certificate = prepare_sandbox(folder, home_url, sandbox_port, 2)
    settings = demo_settings(folder, home_url, sandbox.settings, certificate)
    await serve(make_app(settings), "127.0.0.1", port, say, grace_s=grace_s, shared=shared)


class Process:
    """One such process, as its test sees it."""

    def __init__(
        self,
        folder: Path,
        home_url: str,
        port: int,
        sandbox_port: int,
        *,
        grace_s: float = GRACE_S,
        workers: int = 1,
    ) -> None:
        self._arguments = [str(folder), home_url, str(port), str(sandbox_port), str(grace_s), str(workers)]
        self._workers = workers
        self._process: asyncio.subprocess.Process | None = None
        self.url = f"http://127.0.0.1:{port}"

    async def start(self) -> None:
        """Return when it answers."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.web.server_process",
            *self._arguments,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONWARNINGS": WARNINGS},
        )
        assert self._process.stdout is not None
        answering = 0
        async with asyncio.timeout(PATIENCE_S):
            while line := await self._process.stdout.readline():
                answering += line.startswith(ANSWERS)
                if answering == self._workers:
                    return
        raise AssertionError("it ended before it answered")

    def terminate(self) -> None:
        """Tell it to stop."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)

    async def ended(self, within_s: float = PATIENCE_S) -> int:
        """Its exit status, as soon as it has ended."""
        assert self._process is not None
        async with asyncio.timeout(within_s):
            await self._process.communicate()
        status = self._process.returncode
        assert status is not None
        self._process = None
        return status

    async def kill(self) -> None:
        """Now, without a word."""
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.send_signal(signal.SIGKILL)
            await process.communicate()


@asynccontextmanager
async def process(folder: Path, home_url: str, port: int, sandbox_port: int) -> AsyncIterator[Process]:
    """A process that runs, and is killed at the end."""
    made = Process(folder, home_url, port, sandbox_port)
    try:
        await made.start()
        yield made
    finally:
        await made.kill()


if __name__ == "__main__":
    logs.configure(as_json=True)
    place, home, home_port, box_port, grace, workers = (*sys.argv[1:], str(GRACE_S), "1")[:6]
    if int(workers) > 1:
        again = ["-m", "tests.web.server_process", place, home, home_port, box_port, grace, "0"]
        sys.exit(serve_by_workers(again, int(workers), "127.0.0.1", int(home_port), say, grace_s=float(grace)))
    run(main(Path(place), home, int(home_port), int(box_port), float(grace), shared=workers == "0"))
