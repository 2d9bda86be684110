"""A home server that a test can kill: `python -m tests.web.server_process FOLDER HOME_URL PORT SANDBOX_PORT`.

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

from homeserver import logs
from homeserver.demo import demo_settings, prepare_sandbox
from homeserver.serving import listen, serving
from homeserver.wiring import make_app


async def main(folder: Path, home_url: str, port: int, sandbox_port: int) -> None:
    """Serve until killed; says a line when it answers."""
    sandbox, certificate = prepare_sandbox(folder, home_url, sandbox_port, 2)
    settings = demo_settings(folder, home_url, sandbox.settings, certificate)
    async with serving(make_app(settings), listen("127.0.0.1", port)):
        print("ready", flush=True)
        await asyncio.Event().wait()


class Process:
    """One such process, as its test sees it."""

    def __init__(self, folder: Path, home_url: str, port: int, sandbox_port: int) -> None:
        self._arguments = [str(folder), home_url, str(port), str(sandbox_port)]
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
            env={**os.environ, "PYTHONWARNINGS": "error"},
        )
        assert self._process.stdout is not None
        async with asyncio.timeout(30):
            while line := await self._process.stdout.readline():
                if line == b"ready\n":
                    return
        raise AssertionError("it ended before it answered")

    async def kill(self) -> None:
        """Now, without a word."""
        process, self._process = self._process, None
        if process is not None:
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
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
