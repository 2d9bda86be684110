"""The tests' side of `board_process.py`: processes that work on boards, and what they say."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from tests.board_process import Task

ROOT: Final = Path(__file__).resolve().parent.parent
PATIENCE_S: Final = 120
"""For anything that a process is waited for: far more than it takes, also where much else runs."""


@dataclass(slots=True)
class Said:
    """What players of one process said, in all its lives."""

    tried: set[tuple[int, int]] = field(default_factory=set)
    """Player and round."""
    done: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    """Rounds of each player that were acknowledged, in that order."""
    last_round: int = 0

    def hear(self, line: str) -> list[tuple[int, int]]:
        """Take one line; who was acknowledged by it, in which round."""
        word, *numbers = line.split()
        round_, *players = map(int, numbers)
        self.last_round = max(self.last_round, round_)
        places = [(player, round_) for player in players]
        if word == "try":
            self.tried.update(places)
            return []
        for player in players:
            self.done[player].append(round_)
        return places


class Warden:
    """A process that has others work for it, one after the other."""

    def __init__(self, process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
        self._process = process
        self._errors = errors
        self._rest = b""
        self.busy = False

    @property
    def errors(self) -> str:
        """What was said on standard error, ever."""
        self._errors.seek(0)
        return self._errors.read().decode()

    def tell(self, line: str) -> None:
        """Say one line."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        self._process.stdin.flush()

    async def lines(self) -> list[str]:
        """What was said since the last call: one line at least."""
        assert self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        while b"\n" not in self._rest:
            async with asyncio.timeout(PATIENCE_S):
                await _readable(pipe)
            more = os.read(pipe, 65_536)
            assert more, f"the process is gone: {self.errors}"
            self._rest += more
        *lines, self._rest = self._rest.split(b"\n")
        return [line.decode() for line in lines]


async def _readable(pipe: int) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(pipe, lambda: None if ready.done() else ready.set_result(None))
    try:
        await ready
    finally:
        loop.remove_reader(pipe)


class Running:
    """A process at work."""

    def __init__(self, warden: Warden, said: Said) -> None:
        self._warden = warden
        self._said = said
        self._pid = 0
        self._code: int | None = None

    async def ready(self, task: Task) -> None:
        """Have it open the database."""
        self._warden.busy = True
        self._warden.tell(task.written())
        while not (self._pid or self._code is not None):
            await self.heard()
        assert self._pid, self._warden.errors

    def go(self) -> None:
        """Let it begin."""
        self._warden.tell("go")

    def stop(self) -> None:
        """Let a player end when what is under way is done."""
        self._warden.tell("stop")

    def kill(self) -> None:
        """End it between any two of its instructions."""
        if self._code is None:
            os.kill(self._pid, signal.SIGKILL)

    async def heard(self) -> list[tuple[int, int]] | None:
        """Who was acknowledged since the last call, in which round; None at its end."""
        if self._code is not None:
            return None
        acknowledged: list[tuple[int, int]] = []
        for line in await self._warden.lines():
            match line.split():
                case ["ready", pid]:
                    self._pid = int(pid)
                case ["gone", code]:
                    self._code = int(code)
                    self._warden.busy = False
                case _:
                    acknowledged += self._said.hear(line)
        return acknowledged

    async def ended(self) -> int:
        """Hear what is left to be heard, and wait for its end: the code that it left."""
        while await self.heard() is not None:
            pass
        assert self._code in {0, -signal.SIGKILL}, self._warden.errors
        return self._code


class Wardens:
    """As many as are needed at once. They are kept: a new Python takes longer than what most of these tests do."""

    def __init__(self) -> None:
        self._all: list[Warden] = []

    def free(self) -> Warden:
        """One that has nobody at work."""
        for warden in self._all:
            if not warden.busy:
                return warden
        errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the warden
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.board_process"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
        self._all.append(Warden(process, errors))
        return self._all[-1]

    @asynccontextmanager
    async def at_work(self, task: Task, said: Said) -> AsyncIterator[Running]:
        """A process that has opened its database, and waits for `go`. It is gone when the context ends."""
        running = Running(self.free(), said)
        try:
            await running.ready(task)
            yield running
        finally:
            running.kill()
            with suppress(AssertionError):  # said already, or it was no fault of its own to be killed
                await running.ended()


@contextmanager
def wardens() -> Iterator[Wardens]:
    """None yet. All of them, and whoever works for them, are gone when the context ends."""
    made = Wardens()
    try:
        yield made
    finally:
        for warden in made._all:
            with suppress(ProcessLookupError):
                os.killpg(warden._process.pid, signal.SIGKILL)
            warden._process.communicate()
            warden._errors.close()
