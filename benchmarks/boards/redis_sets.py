"""Redis beside us: a sorted set asked through redis-py (with hiredis) over a Unix socket, as exactly as we answer.

ZREVRANK numbers equal scores one after the other, so the exact rank is ZSCORE and then ZCOUNT of what is better: two
commands, sent together. Keys here are below 2^53, beyond which Redis's doubles are not exact.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import redis

from benchmarks.boards.places import entries, p50, p99, pages
from benchmarks.report import Figure

LIMIT: Final = 20
READY_WITHIN_S: Final = 10


def installed() -> bool:
    """Whether there is a redis-server here."""
    return shutil.which("redis-server") is not None


def measure(distribution: str, size: int, *, times: int) -> tuple[float, list[Figure]]:
    """The exact rank's median in microseconds, and all figures."""
    prefix = f"ranks.redis.{size:.0e}.{distribution}"
    with _server() as client:
        before = client.info("memory")["used_memory"]
        for page in pages(entries(distribution, size, 0)):
            client.zadd("board", {player: key for _, key, _, player in page})
        taken = client.info("memory")["used_memory"] - before
        chance = random.Random(7)
        players = chance.sample(range(1, size + 1), times)

        def rank(player: int) -> None:
            score = client.zscore("board", player)
            client.zcount("board", "-inf", f"({score:.0f}")

        def page_at(player: int) -> None:
            client.zrange("board", player, player + LIMIT - 1, withscores=True)

        def write(player: int) -> None:
            client.zadd("board", {player: chance.randrange(1_000 * size)})

        ranks, found, writes = (_timed(question, players) for question in (rank, page_at, write))
    return p50(ranks), [
        Figure(f"{prefix}.rank.p50", p50(ranks), "us"),
        Figure(f"{prefix}.rank.p99", p99(ranks), "us"),
        Figure(f"{prefix}.page.p50", p50(found), "us"),
        Figure(f"{prefix}.write.p50", p50(writes), "us"),
        Figure(f"{prefix}.bytes", taken / size, "bytes/entry"),
    ]


def _timed(question: Any, players: list[int]) -> list[float]:
    """The best of some answers for each player, as for our own; sorted microseconds."""
    rounds = []
    for _ in range(4):
        took = []
        for player in players:
            began = time.perf_counter()
            question(player)
            took.append(1e6 * (time.perf_counter() - began))
        rounds.append(took)
    return sorted(min(answers) for answers in zip(*rounds, strict=True))


@contextmanager
def _server() -> Iterator[Any]:
    """A server of our own with nothing in it, which keeps nothing."""
    folder = Path(tempfile.mkdtemp(prefix="homeserver-redis-"))
    socket = folder / "redis.sock"
    program = shutil.which("redis-server") or "redis-server"
    options = ("--port", "0", "--unixsocket", socket, "--dir", folder, "--save", "", "--appendonly", "no")
    server = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)
    try:
        client = redis.Redis(unix_socket_path=str(socket))
        for _ in range(READY_WITHIN_S * 20):
            try:
                client.ping()
                break
            except redis.ConnectionError:
                time.sleep(0.05)
        yield client
        client.close()
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(folder)
